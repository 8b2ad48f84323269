// AVX-512 with instructions for sums of four products of bytes (VNNI) and for bytes of two registers in any order
// (VBMI).
#define AOT_SLIM_BYTES 64

#include <immintrin.h>

// clang-format off
#include "../generic/vectors.h"
#include "../generic/digits.h"
// clang-format on

namespace slim::matrix {
namespace {

constexpr int64_t kLine = AOT_SLIM_BYTES;
constexpr int64_t kAhead = 2048;  // bytes that are fetched ahead: the prefetcher of a processor stops at a page's end

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

void sum_group(const uint8_t* from, int64_t steps, const int8_t* digits, int64_t stride, GroupSums& to) {
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
      for (int p = 0; p < kBlockPanels; ++p) sums[p][i] = (I)_mm512_dpbusd_epi32((__m512i)sums[p][i], panels[p], x);
    }
  }
  AOT_SLIM_UNROLL
  for (int p = 0; p < kBlockPanels; ++p) to[p][0] = combined(sums[p]);
}

void stream_int4_digits(const Stream& s, const Int4Blocks& right) {
  if (right.is_bfloat16) return stream_blocks_by_digits<true>(s, right, sum_group);
  stream_blocks_by_digits<false>(s, right, sum_group);
}

}  // namespace

const ByDigits kAvx512Digits = {split, stream_int4_digits};

}  // namespace slim::matrix
