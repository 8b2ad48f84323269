#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include "tensor/arithmetic.h"

using namespace slim;

namespace {

Tensor multiply(const Tensor& a, const Tensor& b, ScalarType dtype) {
  return compute_binary(a, b, dtype, [](auto x, auto y) { return wrapping_multiply(x, y); });
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu_mul_Tensor(AtenTensorHandle self, AtenTensorHandle other, AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(multiply(get(self), get(other), result_type(get(self), get(other)))); });
}

AOTITorchError aoti_torch_cpu_mul_Scalar(AtenTensorHandle self, double other, AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(multiply(get(self), number(other), result_type_with_float(get(self)))); });
}
}
