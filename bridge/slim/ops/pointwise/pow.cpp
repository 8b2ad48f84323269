#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <cmath>
#include <complex>
#include <type_traits>

#include "tensor/arithmetic.h"

using namespace slim;

namespace {

// Integers wrap; a negative exponent leaves 1 and -1 and makes 0 of the rest.
int64_t power(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base != 1 && base != -1) return 0;
    return exponent % 2 == 0 ? 1 : base;
  }
  int64_t result = 1;
  for (; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) != 0) result = wrapping_multiply(result, base);
    base = wrapping_multiply(base, base);
  }
  return result;
}
float power(float base, float exponent) { return std::pow(base, exponent); }
double power(double base, double exponent) { return std::pow(base, exponent); }
Complex<double> power(Complex<double> base, Complex<double> exponent) {
  if (exponent == Complex<double>(2)) return base * base;
  return static_cast<Complex<double>>(
      std::pow(static_cast<std::complex<double>>(base), static_cast<std::complex<double>>(exponent)));
}
Complex<float> power(Complex<float> base, Complex<float> exponent) {
  return static_cast<Complex<float>>(power(static_cast<Complex<double>>(base), static_cast<Complex<double>>(exponent)));
}

Tensor pow(const Tensor& base, const Tensor& exponent, ScalarType dtype) {
  return compute_binary(base, exponent, dtype, [](auto x, auto y) { return power(x, y); });
}

// Torch takes roots where the exponent says so, which tells infinities and zeros of both signs apart; not of float16.
Tensor pow(const Tensor& base, double exponent) {
  const ScalarType dtype = result_type_with_float(base);
  const bool root = exponent == 0.5 || exponent == -0.5;
  if (!root || is_complex(dtype) || dtype == ScalarType::Half) return pow(base, number(exponent), dtype);
  return compute_unary(base, dtype, [exponent](auto x) {
    using T = decltype(x);
    if constexpr (std::is_floating_point_v<T>) {
      return exponent > 0 ? std::sqrt(x) : 1 / std::sqrt(x);
    } else {
      return x;  // the dtype is a float
    }
  });
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu_pow_Tensor_Tensor(AtenTensorHandle self, AtenTensorHandle exponent,
                                                AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(pow(get(self), get(exponent), result_type(get(self), get(exponent)))); });
}

AOTITorchError aoti_torch_cpu_pow_Tensor_Scalar(AtenTensorHandle self, double exponent, AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(pow(get(self), exponent)); });
}

AOTITorchError aoti_torch_cpu_pow_Scalar(double self, AtenTensorHandle exponent, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    *ret0 = give(contiguous(pow(number(self), get(exponent), result_type_with_float(get(exponent)))));
  });
}
}
