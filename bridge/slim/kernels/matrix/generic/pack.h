// Rows of words turned into columns. Included in each set's folder after vectors.h.
#pragma once

#include <cstdint>

#include "../kernels.h"

namespace slim::matrix {
namespace {

typedef uint32_t Four __attribute__((vector_size(16)));

// The words of four rows at four neighbouring places, those of one place behind one another.
inline void turn_four(const char* const (&rows)[4], int64_t offset, uint32_t* to, int64_t width) {
  const Four a = load<Four>(rows[0] + offset);
  const Four b = load<Four>(rows[1] + offset);
  const Four c = load<Four>(rows[2] + offset);
  const Four d = load<Four>(rows[3] + offset);
  const Four ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
  const Four ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Four cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const Four cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  store(to, __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5));
  store(to + width, __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7));
  store(to + 2 * width, __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5));
  store(to + 3 * width, __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7));
}

template <class RowAt>
inline __attribute__((always_inline)) void pack_from(const RowAt& row_at, int64_t rows, int64_t words, int64_t width,
                                                     uint32_t* to) {
  // The last four rows may be some that were packed already: once more is less than one by one.
  for (int64_t next = 0; rows >= 4 && next < rows; next += 4) {
    const int64_t row = next + 4 <= rows ? next : rows - 4;
    const char* const four[4] = {row_at(row), row_at(row + 1), row_at(row + 2), row_at(row + 3)};
    int64_t k = 0;
    for (; k + 4 <= words; k += 4) turn_four(four, k * 4, to + k * width + row, width);
    for (; k < words; ++k) {
      for (int64_t i = 0; i < 4; ++i) __builtin_memcpy(to + k * width + row + i, four[i] + k * 4, 4);
    }
  }
  for (int64_t row = rows >= 4 ? rows : 0; row < width; ++row) {
    for (int64_t k = 0; k < words; ++k) {
      if (row < rows) {
        __builtin_memcpy(to + k * width + row, row_at(row) + k * 4, 4);
      } else {
        to[k * width + row] = 0;
      }
    }
  }
}

void pack_rows(const char* from, int64_t row_bytes, int64_t rows, int64_t words, int64_t width, uint32_t* to) {
  pack_from([=](int64_t row) { return from + row * row_bytes; }, rows, words, width, to);
}

void gather_rows(const char* const* rows_at, int64_t rows, int64_t words, int64_t width, uint32_t* to) {
  pack_from([=](int64_t row) { return rows_at[row]; }, rows, words, width, to);
}

}  // namespace
}  // namespace slim::matrix
