#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <cmath>
#include <limits>
#include <type_traits>

#include "tensor/iterate.h"

using namespace slim;

namespace {

Tensor abs(const Tensor& self) {
  if (is_complex(self.dtype)) {
    return visit_complex(self.dtype, [&](auto type) {
      using T = typename decltype(type)::type;
      using Part = typename T::value_type;
      Tensor out =
          elementwise_output({&self}, self.dtype == ScalarType::ComplexFloat ? ScalarType::Float : ScalarType::Double);
      // In a wider type nothing overflows on the way; an infinite part beats a NaN in the other.
      map<Part, T>(out, self, [](T z) -> Part {
        using Wide = std::conditional_t<std::is_same_v<Part, float>, double, long double>;
        const Wide x = z.real();
        const Wide y = z.imag();
        if (std::isinf(x) || std::isinf(y)) return std::numeric_limits<Part>::infinity();
        return static_cast<Part>(std::sqrt(x * x + y * y));
      });
      return out;
    });
  }
  return visit_real_or_bool(self.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    Tensor out = elementwise_output({&self}, self.dtype);
    map<T, T>(out, self, [](T value) -> T {
      if constexpr (is_floating_v<T>) {
        return static_cast<T>(std::fabs(static_cast<Accumulate<T>>(value)));
      } else if constexpr (std::is_signed_v<T>) {
        using Bits = std::make_unsigned_t<T>;
        return value < 0 ? static_cast<T>(Bits{0} - static_cast<Bits>(value))
                         : value;  // the least value stays, as in torch
      } else {
        return value;
      }
    });
    return out;
  });
}

}  // namespace

extern "C" AOTITorchError aoti_torch_cpu_abs(AtenTensorHandle self, AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(abs(get(self))); });
}
