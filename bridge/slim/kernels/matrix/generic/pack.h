// Rows of words turned into columns. Included in each set's folder after vectors.h.
#pragma once

#include "../kernels.h"

namespace slim::matrix {
namespace {

typedef uint32_t Four __attribute__((vector_size(16)));

// The words of four rows at four neighbouring places, those of one place behind one another.
inline void turn_four(const char* from, int64_t row_bytes, uint32_t* to, int64_t width) {
  const Four a = load<Four>(from);
  const Four b = load<Four>(from + row_bytes);
  const Four c = load<Four>(from + 2 * row_bytes);
  const Four d = load<Four>(from + 3 * row_bytes);
  const Four ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
  const Four ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Four cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const Four cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  store(to, __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5));
  store(to + width, __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7));
  store(to + 2 * width, __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5));
  store(to + 3 * width, __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7));
}

void pack_rows(const char* from, int64_t row_bytes, int64_t rows, int64_t words, int64_t width, uint32_t* to) {
  int64_t row = 0;
  for (; row + 4 <= rows; row += 4) {
    const char* at = from + row * row_bytes;
    int64_t k = 0;
    for (; k + 4 <= words; k += 4) turn_four(at + k * 4, row_bytes, to + k * width + row, width);
    for (; k < words; ++k) {
      for (int64_t i = 0; i < 4; ++i) __builtin_memcpy(to + k * width + row + i, at + i * row_bytes + k * 4, 4);
    }
  }
  for (; row < width; ++row) {
    for (int64_t k = 0; k < words; ++k) {
      if (row < rows) {
        __builtin_memcpy(to + k * width + row, from + row * row_bytes + k * 4, 4);
      } else {
        to[k * width + row] = 0;
      }
    }
  }
}

}  // namespace
}  // namespace slim::matrix
