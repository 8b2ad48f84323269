// SPDX-License-Identifier: Apache-2.0
// Shapes and strides of the tensors that callers lend.
#pragma once

#include <cstddef>
#include <cstdint>

#include "aot_bridge.h"

namespace aot {

/// More than any tensor that torch makes; keeps shapes on the stack.
constexpr int32_t kMaxDims = 64;

/// Product of the sizes. Throws AOT_USAGE on overflow or on a negative size.
int64_t count_elements(const int64_t* shape, int32_t ndim);

/// Strides, in elements, of a C-ordered tensor: what torch gives to a fresh tensor of this shape, where sizes of 0
/// count as 1. On the stack, since every call makes some.
struct CStrides {
  CStrides(const int64_t* shape, int32_t ndim);
  int64_t values[kMaxDims];
};

/// Whether elements follow one another in C order. Strides of dims of size 1, and all strides of an empty tensor, do
/// not matter.
bool is_contiguous(const aot_view& view);

/// The first element.
inline uint8_t* first_byte(const aot_view& view) { return static_cast<uint8_t*>(view.data) + view.byte_offset; }

/// Copies between two strided tensors of one shape, `size` bytes an element, all in host memory. Null strides mean C
/// order.
void copy_strided(void* destination, const int64_t* destination_strides, const void* source,
                  const int64_t* source_strides, const int64_t* shape, int32_t ndim, size_t size);

/// Whether two such tensors hold the same bytes.
bool equal_strided(const void* left, const int64_t* left_strides, const void* right, const int64_t* right_strides,
                   const int64_t* shape, int32_t ndim, size_t size);

}  // namespace aot
