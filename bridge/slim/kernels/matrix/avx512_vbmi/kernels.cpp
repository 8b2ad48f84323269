// AVX-512 with instructions for sums of four products of bytes (VNNI) and for bytes of two registers in any order
// (VBMI): a few rows of floats times weights of four bits, which floats do not keep up with at the speed at which
// weights come from memory.
//
// A float is a whole number of three signed bytes times a unit that is its group's: as near as a float32 is to the
// greatest of the group. The bytes of each place are multiplied with the weights and summed up as int32, exactly.
#define AOT_SLIM_BYTES 64

#include <immintrin.h>

// clang-format off
#include "../generic/vectors.h"
#include "../generic/bytes.h"
// clang-format on
#include "../kernels.h"

namespace slim::matrix {
namespace {

constexpr int64_t kLine = AOT_SLIM_BYTES;
constexpr float kGreatest = 8.3e6F;  // below 127 * 65536 + 127 * 256 + 127
constexpr int32_t kAllOf128 = 0x808080;

inline float sum_of(F x) {
  float sum = 0;
  for (int i = 0; i < kLanes; ++i) sum += x[i];
  return sum;
}

inline float greatest_of(F x) {
  float greatest = x[0];
  for (int i = 1; i < kLanes; ++i) greatest = x[i] > greatest ? x[i] : greatest;
  return greatest;
}

inline I dot(I sum, __m512i unsigned_bytes, __m512i signed_bytes) {
  return (I)_mm512_dpbusd_epi32((__m512i)sum, unsigned_bytes, signed_bytes);
}

// The sums of all digits of a register's columns, or of a part of one, as floats.
inline F combined(const I (&sums)[kDigits]) {
  F all_of_them = __builtin_convertvector(sums[0], F);
  AOT_SLIM_UNROLL
  for (int i = 1; i < kDigits; ++i) all_of_them = all_of_them * 256.0F + __builtin_convertvector(sums[i], F);
  return all_of_them;
}

bool split(const float* row, int64_t depth, int64_t group, const Digits& to) {
  for (int64_t begin = 0, number = 0; begin < depth; begin += group, ++number) {
    const int64_t end = begin + group;
    F greatest{};
    F sum{};
    for (int64_t k = begin; k < end; k += kLanes) {
      const F x = load<F>(row + k);
      const F size = (F)((I)x & INT32_MAX);
      greatest = size > greatest ? size : greatest;
      sum += x;
    }
    const float most = greatest_of(greatest);
    if (most != 0 && (most < 0x1p-100F || most > 0x1p100F)) return false;
    const float inverse = most == 0 ? 0 : kGreatest / most;
    for (int64_t k = begin; k < end; k += kLanes) {
      const I bytes = (I)_mm512_maskz_cvtps_epi32(0xffff, (__m512)(load<F>(row + k) * inverse)) + kAllOf128;
      for (int i = 0; i < kDigits; ++i)
        store(to.bytes + i * depth + k, low_bytes((bytes >> (8 * (kDigits - 1 - i))) ^ 128));
    }
    to.units[number] = most / kGreatest;
    to.sums[number] = sum_of(sum);
  }
  return true;
}

// Of the bytes of four steps of a block, [4][32], those of each column together: columns 0 to 15, or 16 to 31.
struct Order {
  explicit Order(int first) {
    alignas(kLine) uint8_t from[kLine];
    for (int c = 0; c < kPanel; ++c) {
      for (int step = 0; step < 4; ++step) from[4 * c + step] = static_cast<uint8_t>(32 * step + first + c);
    }
    bytes = _mm512_load_si512(from);
  }
  __m512i bytes;
};

constexpr int kBlockPanels = kStreamed / kPanel;
constexpr int64_t kAhead = 2048;  // bytes that are fetched ahead

// A group's steps of a block times one row.
void sum_group(const uint8_t* from, int64_t steps, const int8_t* digits, int64_t stride, F (&totals)[kBlockPanels]) {
  const Order first(0);
  const Order second(kPanel);
  const __m512i nibble = _mm512_set1_epi8(15);
  I sums[kBlockPanels][kDigits] = {};
  for (int64_t k = 0; k < steps; k += 4, from += 2 * kLine) {
    __builtin_prefetch(from + kAhead, 0, 3);
    __builtin_prefetch(from + kAhead + kLine, 0, 3);
    const auto low = load<__m512i>(from);
    const auto high = load<__m512i>(from + kLine);
    const __m512i a = _mm512_permutex2var_epi8(low, first.bytes, high);
    const __m512i b = _mm512_permutex2var_epi8(low, second.bytes, high);
    const __m512i panels[kBlockPanels] = {a & nibble, b & nibble, _mm512_srli_epi16(a, 4) & nibble,
                                          _mm512_srli_epi16(b, 4) & nibble};
    AOT_SLIM_UNROLL
    for (int i = 0; i < kDigits; ++i) {
      const __m512i x = _mm512_set1_epi32(load<int32_t>(digits + i * stride + k));
      AOT_SLIM_UNROLL
      for (int p = 0; p < kBlockPanels; ++p) sums[p][i] = dot(sums[p][i], panels[p], x);
    }
  }
  AOT_SLIM_UNROLL
  for (int p = 0; p < kBlockPanels; ++p) totals[p] = combined(sums[p]);
}

// Scales and zeros of neighbouring columns.
struct Pairs {
  F scale;
  F zero;
};

Pairs load_pairs(const Int4Blocks& right, int64_t at) {
  if (right.is_bfloat16) {
    const U both = load<U>(static_cast<const uint16_t*>(right.pairs) + 2 * at);
    return {(F)(both << 16), (F)(both & 0xffff0000)};
  }
  const float* from = static_cast<const float*>(right.pairs) + 2 * at;
  const F low = load<F>(from);
  const F high = load<F>(from + kLanes);
  const I even = {0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30};
  return {__builtin_shuffle(low, high, even), __builtin_shuffle(low, high, even + 1)};
}

// Whole blocks alone. A number is (bits - 8) * scale + zero.
void stream_int4(const Stream& s, const Int4Blocks& right) {
  const uint8_t* from = right.data + s.column / 2 * s.depth;
  for (int64_t i = 0; i < s.rows * kStreamed; ++i) s.sums[i] = 0;
  for (int64_t begin = 0, number = 0; begin < s.depth; begin += right.group, ++number) {
    for (int64_t r = 0; r < s.rows; ++r) {
      const Digits& row = s.digits[r];
      F totals[kBlockPanels];
      sum_group(from + begin * kStreamed / 2, right.group, row.bytes + begin, s.depth, totals);
      for (int p = 0; p < kBlockPanels; ++p) {
        const Pairs pairs = load_pairs(right, number * s.all_columns + s.column + p * kPanel);
        float* to = s.sums + r * kStreamed + p * kPanel;
        store(to, load<F>(to) + totals[p] * row.units[number] * pairs.scale +
                      (pairs.zero - 8.0F * pairs.scale) * row.sums[number]);
      }
    }
  }
}

}  // namespace

const ByDigits kAvx512Digits = {split, stream_int4};

}  // namespace slim::matrix
