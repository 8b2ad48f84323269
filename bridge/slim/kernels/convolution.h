// Convolutions of one, two and three dims, transposed or not, with fused functions.
#pragma once

#include <cstdint>

#include "kernels/matrix/product.h"
#include "tensor/tensor.h"

namespace slim {

struct Convolution {
  Dims stride;
  Dims padding;
  Dims dilation;
  Dims output_padding;
  int64_t groups = 1;
  bool transposed = false;
  // Fused behind it: the functions of one and of two arguments; where results go is filled in.
  matrix::Result fused;
  const Tensor* other = nullptr;  // of the one of two arguments
  bool in_place = false;          // the result replaces `other`
};

// input [batch, channels, ...] or without the batch; weight as torch has it, or packed.
Tensor convolve(const Tensor& input, const Tensor& weight, const Tensor* bias, Convolution how);

}  // namespace slim
