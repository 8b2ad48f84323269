// Windows over one to three spatial dims: what all kinds of pooling share.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace slim {

// The inputs of one output place along one dim: start, start + step, ... below end; all inside the input.
struct Window {
  int64_t start;
  int64_t end;
  int64_t step;
  int64_t padded;  // how many there are when those in the padding count too
};
using Windows = std::vector<Window>;

// kernel, stride (empty: as the kernel), padding and dilation: one value for all `rank` dims or one each.
struct PoolShape {
  Dims kernel, stride, padding, dilation;
  bool ceil_mode;
};

// Windows along each of the last `rank` dims of self. Fail where a size is impossible, as torch does.
std::vector<Windows> sliding_windows(const Tensor& self, size_t rank, const PoolShape& shape);
std::vector<Windows> adaptive_windows(const Tensor& self, size_t rank, const Dims& output_size);

// The output for these windows.
Tensor pooled(const Tensor& self, const std::vector<Windows>& windows, ScalarType dtype, MemoryFormat format);

// Torch's choice for it: self's format where there is a batch.
MemoryFormat pooled_format(const Tensor& self, const std::vector<Windows>& windows);

// [batch, channels, depth, height, width], sizes of 1 put in where a dim is missing; `rank` spatial dims.
Tensor as_volumes(const Tensor& self, size_t rank);

// One place of the output: its windows, and the elements of the input's and outputs' planes they belong to.
struct Place {
  const Window* depth;
  const Window* height;
  const Window* width;
  int64_t input;     // elements from the start of the input to its plane
  int64_t output;    // elements from the start of an output to its place
  int64_t channels;  // that lie next to each other, in the input and in the output: one place of each
};

// Calls f(context, place) for all places of `output`, a result of pooled() or of the same strides; on several threads.
using PlaceFunction = void (*)(const void* f, const Place& place);
void for_each_place(const Tensor& input, const Tensor& output, const std::vector<Windows>& windows, PlaceFunction call,
                    const void* f);

template <class F>
void for_each_place(const Tensor& input, const Tensor& output, const std::vector<Windows>& windows, const F& f) {
  for_each_place(
      input, output, windows, [](const void* g, const Place& place) { (*static_cast<const F*>(g))(place); }, &f);
}

}  // namespace slim
