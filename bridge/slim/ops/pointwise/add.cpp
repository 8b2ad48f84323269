#include <torch/csrc/inductor/aoti_torch/generated/c_shim_aten.h>
#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include "tensor/arithmetic.h"

using namespace slim;

namespace {

// a + alpha * b in `dtype`.
Tensor add(const Tensor& a, const Tensor& b, double alpha, ScalarType dtype) {
  return compute_binary(a, b, dtype, [alpha](auto x, auto y) {
    using T = decltype(x);
    return wrapping_add(x, wrapping_multiply(number_as<T>(alpha), y));
  });
}

Tensor add(const Tensor& a, const Tensor& b, double alpha) {
  const ScalarType dtype = result_type(a, b);
  const bool whole = alpha == static_cast<double>(static_cast<int64_t>(alpha));
  require(is_floating(dtype) || is_complex(dtype) || whole, "alpha of ", alpha, " for ", dtype_name(dtype));
  return add(a, b, alpha, dtype);
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu_add_Tensor(AtenTensorHandle self, AtenTensorHandle other, double alpha,
                                         AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(add(get(self), get(other), alpha)); });
}

AOTITorchError aoti_torch_cpu_add_Scalar(AtenTensorHandle self, double other, double alpha, AtenTensorHandle* ret0) {
  return guard(__func__,
               [&] { *ret0 = give(add(get(self), number(other), alpha, result_type_with_float(get(self)))); });
}

AOTITorchError aoti_torch_aten_subtract_Tensor(AtenTensorHandle self, AtenTensorHandle other, double alpha,
                                               AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    require(get(self).dtype != ScalarType::Bool && get(other).dtype != ScalarType::Bool, "subtraction of bool");
    *ret0 = give(add(get(self), get(other), -alpha));
  });
}
}
