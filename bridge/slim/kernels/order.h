// The order in which torch sorts: numbers by value, zeros of both signs alike, NaN above everything.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/tensor.h"

namespace slim {

// An element as a number that compares as the element does, and the element's place in its slice.
struct Keyed {
  uint64_t key;
  int64_t index;
};

inline constexpr uint64_t kNanKey = UINT64_MAX;

// Fills out[0..n) from n elements of `dtype`, `step` bytes apart; `descending` turns the order round, NaN first then.
// So one sort serves all dtypes. Fails for complex numbers, which have no order.
void load_keys(ScalarType dtype, const char* from, int64_t step, int64_t n, bool descending, Keyed* out);

inline bool key_less(const Keyed& a, const Keyed& b) { return a.key < b.key; }
// The same with the first of equal elements first: a total order, under which any sort is stable.
inline bool key_index_less(const Keyed& a, const Keyed& b) {
  return a.key != b.key ? a.key < b.key : a.index < b.index;
}

// values[i] = from[keys[i].index] and indices[i] = keys[i].index, for elements of `itemsize` bytes and steps in bytes.
void store_keyed(const Keyed* keys, int64_t n, size_t itemsize, const char* from, int64_t from_step, char* values,
                 int64_t values_step, char* indices, int64_t indices_step);

}  // namespace slim
