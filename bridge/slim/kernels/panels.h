// Weights in panels: where they are mapped, or made of another layout once.
#pragma once

#include "tensor/tensor.h"

namespace slim {

// The panels of a packed float32 constant [columns, depth]. They live as long as the constant does.
const float* panels_of(const Tensor& weight, int64_t columns, int64_t depth);

}  // namespace slim
