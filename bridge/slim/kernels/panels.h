// Weights in panels: where they are mapped, or made of another layout once.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/matrix/convolution.h"
#include "tensor/tensor.h"

namespace slim {

// What a tensor of float32, bfloat16 or float16 holds.
inline matrix::Numbers numbers_of(const Tensor& tensor) {
  if (tensor.dtype == ScalarType::Float) return matrix::Numbers::kFloat32;
  return tensor.dtype == ScalarType::Half ? matrix::Numbers::kFloat16 : matrix::Numbers::kBfloat16;
}

// What tells weights of a convolution from others.
struct Channels {
  int64_t groups;
  int64_t outputs;  // of a group
  int64_t inputs;
  const int64_t* kernel;  // in all places
};

// Whether a packed constant lies as a build writes it for this runtime: one of its dims are columns, in blocks of 16,
// and one the depth, in words; within a panel its words vary fastest, then the dims behind, the last of them first.
bool lies_in_panels(const Tensor& weight, const Dims& sizes, size_t columns, size_t depth);

// The same for weights of a convolution, [groups,] out, in, kernel. Groups of one channel are columns themselves.
bool lies_in_panels(const Tensor& weight, const Channels& channels);

// The panels of a packed constant [columns, depth] of one of these types. They live as long as the constant does.
const void* panels_of(const Tensor& weight, int64_t columns, int64_t depth);

// The panels of a packed constant that is convolved with, of the geometry's numbers. They live as long as it does.
const void* panels_of(const Tensor& weight, const matrix::Geometry& geometry);

// Panels of an ordinary tensor [groups, out, in, kernel] of the geometry's numbers, which may change between calls; in
// `made`.
const void* fresh_panels(const Tensor& weight, const matrix::Geometry& geometry, Storage& made);

}  // namespace slim
