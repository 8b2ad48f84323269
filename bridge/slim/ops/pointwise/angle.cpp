#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <cmath>
#include <type_traits>

#include "tensor/arithmetic.h"

using namespace slim;

namespace {

// Of a real number 0 or pi, NaN of NaN.
Tensor angle(const Tensor& self) {
  if (!is_complex(self.dtype)) {
    return compute_unary(self, result_type_with_float(self), [](auto x) {
      using T = decltype(x);
      if constexpr (std::is_floating_point_v<T>) {
        return is_nan(x) ? x : x < 0 ? static_cast<T>(M_PI) : T(0);
      } else {
        return x;  // the dtype is a float
      }
    });
  }
  return visit_complex(self.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    using Part = typename T::value_type;
    const ScalarType dtype = self.dtype == ScalarType::ComplexFloat ? ScalarType::Float : ScalarType::Double;
    Tensor out = empty(self.sizes, dtype);
    map<Part, T>(out, self, [](T z) { return std::atan2(z.imag(), z.real()); });
    return out;
  });
}

Tensor polar(const Tensor& length, const Tensor& angle) {
  require(length.dtype == angle.dtype, "polar of ", dtype_name(length.dtype), " and ", dtype_name(angle.dtype));
  auto of = [&](auto type) {
    using T = typename decltype(type)::type;
    const bool is_float = std::is_same_v<T, float>;
    Tensor out = elementwise_output({&length, &angle}, is_float ? ScalarType::ComplexFloat : ScalarType::ComplexDouble);
    map<Complex<T>, T, T>(out, length, angle,
                          [](T r, T phi) { return Complex<T>(r * std::cos(phi), r * std::sin(phi)); });
    return out;
  };
  if (length.dtype == ScalarType::Float) return of(Type<float>{});
  if (length.dtype == ScalarType::Double) return of(Type<double>{});
  unsupported(length.dtype, "float32 and float64");
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu_angle(AtenTensorHandle self, AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(angle(get(self))); });
}

AOTITorchError aoti_torch_cpu_polar(AtenTensorHandle abs, AtenTensorHandle angle, AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(polar(get(abs), get(angle))); });
}
}
