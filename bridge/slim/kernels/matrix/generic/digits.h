// Rows of floats as whole numbers of signed bytes, times weights of four bits: by instructions for sums of products of
// bytes, which keep up with the speed at which weights come from memory where floats do not. Included in the folder of
// a set with such instructions after vectors.h.
//
// A float is a whole number of three bytes times a unit that is its group's: as near as a float32 is to the greatest of
// the group. The bytes of each place are multiplied with the weights and summed up as int32, exactly.
//
// The set gives the sums of a group's steps of a block, for one row:
//   void sum_group(const uint8_t* from, int64_t steps, const int8_t* digits, int64_t stride, GroupSums& to)
#pragma once

#include <cstdint>

#include "../kernels.h"
#include "bytes.h"
#include "pairs.h"

namespace slim::matrix {
namespace {

constexpr float kGreatest = 8.3e6F;  // below 127 * 65536 + 127 * 256 + 127
constexpr int32_t kAllOf128 = 0x808080;
constexpr int kBlockPanels = kStreamed / kPanel;

using GroupSums = F[kBlockPanels][kRegisters];

inline float greatest_of(F x) {
  float greatest = x[0];
  for (int i = 1; i < kLanes; ++i) greatest = x[i] > greatest ? x[i] : greatest;
  return greatest;
}

// The nearest whole numbers, of less than 2^23.
inline I rounded(F x) {
  const F half = (F)(((I)x & INT32_MIN) | (I)all(0.5F));
  return __builtin_convertvector(x + half, I);
}

// The sums of all places.
inline F combined(const I (&sums)[kDigits]) {
  F all_of_them = __builtin_convertvector(sums[0], F);
  AOT_SLIM_UNROLL
  for (int i = 1; i < kDigits; ++i) all_of_them = all_of_them * 256.0F + __builtin_convertvector(sums[i], F);
  return all_of_them;
}

bool split(const float* row, int64_t depth, int64_t group, const Digits& to) {
  for (int64_t begin = 0, number = 0; begin < depth; begin += group, ++number) {
    F greatest{};
    F sum{};
    for (int64_t k = begin; k < begin + group; k += kLanes) {
      const F x = load<F>(row + k);
      const F size = (F)((I)x & INT32_MAX);
      greatest = size > greatest ? size : greatest;
      sum += x;
    }
    const float most = greatest_of(greatest);
    if (most != 0 && (most < 0x1p-100F || most > 0x1p100F)) return false;
    const float inverse = most == 0 ? 0 : kGreatest / most;
    for (int64_t k = begin; k < begin + group; k += kLanes) {
      const I bytes = rounded(load<F>(row + k) * inverse) + kAllOf128;
      for (int i = 0; i < kDigits; ++i)
        store(to.bytes + i * depth + k, low_bytes(((bytes >> (8 * (kDigits - 1 - i))) & 255) ^ 128));
    }
    to.units[number] = most / kGreatest;
    to.sums[number] = sum_of(sum);
  }
  return true;
}

template <bool IsBfloat16, class SumGroup>
void stream_blocks_by_digits(const Stream& s, const Int4Blocks& right, const SumGroup& sum_group) {
  const uint8_t* from = right.data + s.column / 2 * s.depth;
  for (int64_t i = 0; i < s.rows * kStreamed; ++i) s.sums[i] = 0;
  for (int64_t begin = 0, number = 0; begin < s.depth; begin += right.group, ++number) {
    for (int64_t r = 0; r < s.rows; ++r) {
      const Digits& row = s.digits[r];
      GroupSums sums;
      sum_group(from + begin * kStreamed / 2, right.group, row.bytes + begin, s.depth, sums);
      for (int p = 0; p < kBlockPanels; ++p) {
        for (int v = 0; v < kRegisters; ++v) {
          const int64_t column = p * kPanel + v * kLanes;
          const Pair pair = load_pairs<IsBfloat16>(right.pairs, number * s.all_columns + s.column + column);
          float* to = s.sums + r * kStreamed + column;
          const F zero = pair.zero - 8.0F * pair.scale;  // a number is (bits - 8) * scale + zero
          store(to, load<F>(to) + sums[p][v] * row.units[number] * pair.scale + zero * row.sums[number]);
        }
      }
    }
  }
}

}  // namespace
}  // namespace slim::matrix
