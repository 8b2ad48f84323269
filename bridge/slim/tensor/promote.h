// The dtype that torch computes in for operands of different dtypes.
#pragma once

#include "tensor/tensor.h"

namespace slim {

// torch.result_type(a, b): a tensor without dims only decides where it is of a higher kind (bool, integer, floating,
// complex).
ScalarType result_type(const Tensor& a, const Tensor& b);

// The same with a Python float in place of `b`: the default dtype, float32, where `a` is no floating or complex tensor.
ScalarType result_type_with_float(const Tensor& a);

}  // namespace slim
