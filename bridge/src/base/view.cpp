// SPDX-License-Identifier: Apache-2.0
#include "base/view.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/error.h"

namespace aot {
namespace {

/// Walks two strided tensors of one shape together: calls `visit(left_offset, right_offset, bytes)` for each run of
/// elements that is dense in both, until it returns false. Offsets are in bytes; null strides mean C order. Returns
/// whether it came to the end.
template <class Visit>
bool for_each_run(const int64_t* left_strides, const int64_t* right_strides, const int64_t* shape, int32_t ndim,
                  size_t size, const Visit& visit) {
  if (count_elements(shape, ndim) == 0) return true;
  const CStrides c_order(shape, ndim);
  if (left_strides == nullptr) left_strides = c_order.values;
  if (right_strides == nullptr) right_strides = c_order.values;
  const auto bytes = static_cast<int64_t>(size);

  int32_t outer = ndim;
  int64_t run = 1;
  while (outer > 0 && (shape[outer - 1] == 1 || (left_strides[outer - 1] == run && right_strides[outer - 1] == run))) {
    run *= shape[--outer];
  }
  std::vector<int64_t> index(static_cast<size_t>(outer), 0);
  int64_t left = 0;
  int64_t right = 0;
  while (true) {
    if (!visit(left * bytes, right * bytes, static_cast<size_t>(run * bytes))) return false;
    int32_t dim = outer - 1;
    for (; dim >= 0; --dim) {
      int64_t& position = index[static_cast<size_t>(dim)];
      left += left_strides[dim];
      right += right_strides[dim];
      if (++position < shape[dim]) break;
      left -= left_strides[dim] * shape[dim];
      right -= right_strides[dim] * shape[dim];
      position = 0;
    }
    if (dim < 0) return true;
  }
}

}  // namespace

int64_t count_elements(const int64_t* shape, int32_t ndim) {
  int64_t count = 1;
  bool is_empty = false;
  bool too_large = false;
  for (int32_t i = 0; i < ndim; ++i) {
    if (shape[i] < 0) {
      throw usage_error({"a size of ", shape[i], " at dim ", i}, {"Sizes are 0 or greater."}, {"Check the shape."});
    }
    is_empty = is_empty || shape[i] == 0;
    too_large = too_large || __builtin_mul_overflow(count, shape[i], &count);
  }
  if (is_empty) return 0;
  if (too_large) {
    throw usage_error({"a shape with more elements than 63 bits count"}, {"No memory holds such a tensor."},
                      {"Check the shape."});
  }
  return count;
}

CStrides::CStrides(const int64_t* shape, int32_t ndim) {
  int64_t step = 1;
  for (int32_t i = ndim - 1; i >= 0; --i) {
    values[i] = step;  // NOLINT(clang-analyzer-security.ArrayBound): a rank over kMaxDims has been refused
    // Only an empty tensor can overflow here; nothing is ever read through its strides.
    if (__builtin_mul_overflow(step, std::max<int64_t>(shape[i], 1), &step)) step = 1;
  }
}

bool is_contiguous(const aot_view& view) {
  if (view.strides == nullptr) return true;
  int64_t step = 1;
  bool in_order = true;
  for (int32_t i = view.ndim - 1; i >= 0; --i) {
    if (view.shape[i] == 0) return true;
    if (view.shape[i] != 1 && view.strides[i] != step) in_order = false;
    if (__builtin_mul_overflow(step, view.shape[i], &step)) step = 1;  // an empty tensor, see above
  }
  return in_order;
}

void copy_strided(void* destination, const int64_t* destination_strides, const void* source,
                  const int64_t* source_strides, const int64_t* shape, int32_t ndim, size_t size) {
  auto* to = static_cast<uint8_t*>(destination);
  const auto* from = static_cast<const uint8_t*>(source);
  for_each_run(destination_strides, source_strides, shape, ndim, size,
               [&](int64_t to_offset, int64_t from_offset, size_t bytes) {
                 std::memcpy(to + to_offset, from + from_offset, bytes);
                 return true;
               });
}

bool equal_strided(const void* left, const int64_t* left_strides, const void* right, const int64_t* right_strides,
                   const int64_t* shape, int32_t ndim, size_t size) {
  const auto* a = static_cast<const uint8_t*>(left);
  const auto* b = static_cast<const uint8_t*>(right);
  return for_each_run(left_strides, right_strides, shape, ndim, size,
                      [&](int64_t a_offset, int64_t b_offset, size_t bytes) {
                        return std::memcmp(a + a_offset, b + b_offset, bytes) == 0;
                      });
}

}  // namespace aot
