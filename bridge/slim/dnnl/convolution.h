// Convolutions of one, two and three dims, transposed or not, with fused functions.
#pragma once

#include "onednn.h"

namespace slim::onednn {

struct Convolution {
  Dims stride;
  Dims padding;
  Dims dilation;
  Dims output_padding;
  int64_t groups = 1;
  bool transposed = false;
  // Fused behind it, in this order: `binary` with `other`, then `unary`.
  const char* binary = nullptr;
  const Tensor* other = nullptr;
  bool in_place = false;  // the result replaces `other`
  Unary unary;
};

// input [batch, channels, ...] or without the batch; weight as torch has it, or packed by oneDNN.
Tensor convolve(const Tensor& input, const Tensor& weight, const Tensor* bias, Convolution how);

}  // namespace slim::onednn
