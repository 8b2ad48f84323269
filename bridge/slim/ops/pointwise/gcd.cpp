#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include "tensor/arithmetic.h"

using namespace slim;

namespace {

// `least` has no absolute value and stays as it is, as in torch.
int64_t divisor(int64_t x, int64_t y, int64_t least) {
  int64_t a = x < 0 && x != least ? -x : x;
  int64_t b = y < 0 && y != least ? -y : y;
  while (a != 0) {
    const int64_t rest = a == -1 ? 0 : b % a;  // the least number by -1 would overflow
    b = a;
    a = rest;
  }
  return b;
}

Tensor gcd(const Tensor& a, const Tensor& b) {
  const ScalarType dtype = result_type(a, b);
  require(is_integral(dtype), "gcd of ", dtype_name(dtype));
  const Tensor x = to(to(a, dtype), ScalarType::Long);
  const Tensor y = to(to(b, dtype), ScalarType::Long);
  const Tensor out = elementwise_output({&x, &y}, ScalarType::Long);
  const int64_t least = dtype == ScalarType::Byte ? -1 : INT64_MIN >> (64 - 8 * element_size(dtype));
  map<int64_t, int64_t, int64_t>(out, x, y, [least](int64_t of, int64_t and_of) { return divisor(of, and_of, least); });
  return to(out, dtype);
}

}  // namespace

extern "C" AOTITorchError aoti_torch_cpu_gcd(AtenTensorHandle self, AtenTensorHandle other, AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(gcd(get(self), get(other))); });
}
