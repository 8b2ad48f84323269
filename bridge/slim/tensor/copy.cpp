// Copies, conversions and fills.
#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <type_traits>

#include "kernels/matrix/halves.h"
#include "tensor/iterate.h"

namespace slim {
namespace {

// Converting pairs of dtypes directly would take a loop for each of some 400 pairs. So elements pass in runs through
// one of three lanes, chosen by the destination, each of which holds every value that the destination can: int64 for
// integers, double for floats and bool, complex for complex.
constexpr int64_t kRun = 256;

// A number as a double. A whole one on its way to less than that becomes a float32 first, as in torch: rounded twice,
// it could be the neighbour.
template <class T>
double as_double(T value, [[maybe_unused]] ScalarType wanted) {
  if constexpr (std::is_integral_v<T>) {
    if (wanted != ScalarType::Double && wanted != ScalarType::ComplexDouble) return static_cast<float>(value);
  }
  return static_cast<double>(value);
}

template <class Lane, class T>
Lane into_lane(T value, [[maybe_unused]] ScalarType wanted) {
  if constexpr (is_complex_v<Lane> && is_complex_v<T>) {
    return Lane(static_cast<double>(value.real()), static_cast<double>(value.imag()));
  } else if constexpr (is_complex_v<Lane>) {
    return Lane(as_double(value, wanted), 0.0);
  } else if constexpr (is_complex_v<T>) {
    if (wanted == ScalarType::Bool) return static_cast<Lane>(value.real() != 0 || value.imag() != 0);
    return static_cast<Lane>(value.real());
  } else if constexpr (std::is_integral_v<T> && std::is_integral_v<Lane>) {
    return static_cast<Lane>(value);
  } else {
    return static_cast<Lane>(as_double(value, wanted));
  }
}

template <class T, class Lane>
T from_lane(Lane value) {
  if constexpr (is_complex_v<T>) {
    using Part = typename T::value_type;
    return T(static_cast<Part>(value.real()), static_cast<Part>(value.imag()));
  } else if constexpr (std::is_same_v<T, bool>) {
    return value != 0;
  } else if constexpr (std::is_integral_v<T> || std::is_same_v<T, double>) {
    return static_cast<T>(value);
  } else {
    return static_cast<T>(static_cast<float>(value));
  }
}

// All dtypes that convert: visit_all and the 8-bit floats.
template <class F>
decltype(auto) visit_convertible(ScalarType dtype, F&& f) {
  switch (dtype) {
    case ScalarType::Float8_e5m2:
      return f(Type<c10::Float8_e5m2>{});
    case ScalarType::Float8_e4m3fn:
      return f(Type<c10::Float8_e4m3fn>{});
    case ScalarType::Float8_e5m2fnuz:
      return f(Type<c10::Float8_e5m2fnuz>{});
    case ScalarType::Float8_e4m3fnuz:
      return f(Type<c10::Float8_e4m3fnuz>{});
    default:
      return visit_all(dtype, f);
  }
}

template <class Lane>
using Load = void (*)(const char* from, int64_t step, Lane* to, int64_t n, ScalarType wanted);
template <class Lane>
using Store = void (*)(const Lane* from, char* to, int64_t step, int64_t n);

template <class Lane>
Load<Lane> load_of(ScalarType dtype) {
  return visit_convertible(dtype, [](auto type) -> Load<Lane> {
    using T = typename decltype(type)::type;
    return [](const char* from, int64_t step, Lane* to, int64_t n, ScalarType wanted) {
      for (int64_t i = 0; i < n; ++i) to[i] = into_lane<Lane>(*reinterpret_cast<const T*>(from + i * step), wanted);
    };
  });
}

template <class Lane>
Store<Lane> store_of(ScalarType dtype) {
  return visit_convertible(dtype, [](auto type) -> Store<Lane> {
    using T = typename decltype(type)::type;
    constexpr bool kServes = is_complex_v<Lane> ? is_complex_v<T>
                             : std::is_integral_v<Lane>
                                 ? std::is_integral_v<T> && !std::is_same_v<T, bool>
                                 : !is_complex_v<T> && (!std::is_integral_v<T> || std::is_same_v<T, bool>);
    if constexpr (kServes) {
      return [](const Lane* from, char* to, int64_t step, int64_t n) {
        for (int64_t i = 0; i < n; ++i) *reinterpret_cast<T*>(to + i * step) = from_lane<T>(from[i]);
      };
    } else {
      return nullptr;  // never chosen: the lane follows from the destination
    }
  });
}

std::optional<matrix::Half> half_of(ScalarType dtype) {
  if (dtype == ScalarType::BFloat16) return matrix::Half::kBfloat16;
  if (dtype == ScalarType::Half) return matrix::Half::kFloat16;
  return std::nullopt;
}

// Between float32 and a half type, many at once where they lie side by side.
bool converted_at_once(const Tensor& destination, const Tensor& source, const std::array<char*, 2>& at,
                       const std::array<int64_t, 2>& stride, int64_t n) {
  if (stride[0] != static_cast<int64_t>(destination.itemsize()) || stride[1] != static_cast<int64_t>(source.itemsize()))
    return false;
  const std::optional<matrix::Half> from = half_of(source.dtype);
  const std::optional<matrix::Half> to = half_of(destination.dtype);
  if (from && destination.dtype == ScalarType::Float) {
    matrix::widen(*from, at[1], n, reinterpret_cast<float*>(at[0]));
    return true;
  }
  if (to && source.dtype == ScalarType::Float) {
    matrix::narrow(*to, reinterpret_cast<const float*>(at[1]), n, at[0]);
    return true;
  }
  return false;
}

template <class Lane>
void convert(const Tensor& destination, const Tensor& source) {
  const Load<Lane> load = load_of<Lane>(source.dtype);
  const Store<Lane> store = store_of<Lane>(destination.dtype);
  Loop<2>({&destination, &source})
      .run([&](const std::array<char*, 2>& at, const std::array<int64_t, 2>& stride, int64_t n) {
        if (converted_at_once(destination, source, at, stride, n)) return;
        Lane lane[kRun];
        for (int64_t i = 0; i < n; i += kRun) {
          const int64_t run = std::min(kRun, n - i);
          load(at[1] + i * stride[1], stride[1], lane, run, destination.dtype);
          store(lane, at[0] + i * stride[0], stride[0], run);
        }
      });
}

void move_elements(const Tensor& destination, const Tensor& source) {
  visit_size(destination.itemsize(), [&](auto type) {
    using T = typename decltype(type)::type;
    Loop<2>({&destination, &source})
        .run([](const std::array<char*, 2>& at, const std::array<int64_t, 2>& stride, int64_t n) {
          if (stride[0] == sizeof(T) && stride[1] == sizeof(T)) {
            std::memmove(at[0], at[1], static_cast<size_t>(n) * sizeof(T));
            return;
          }
          for (int64_t i = 0; i < n; ++i) {
            *reinterpret_cast<T*>(at[0] + i * stride[0]) = *reinterpret_cast<const T*>(at[1] + i * stride[1]);
          }
        });
  });
}

}  // namespace

void copy(const Tensor& destination, const Tensor& source) {
  require(destination.layout == Layout::kStrided && source.layout == Layout::kStrided,
          "a oneDNN weight cannot be copied element by element");
  if (destination.dtype == source.dtype) return move_elements(destination, source);
  if (is_complex(destination.dtype)) return convert<Complex<double>>(destination, source);
  if (is_integral(destination.dtype)) return convert<int64_t>(destination, source);
  convert<double>(destination, source);
}

Tensor clone(const Tensor& self) {
  if (self.layout != Layout::kStrided) {
    Tensor copied = self;
    copied.storage = Storage::allocate(self.storage.bytes());
    if (self.storage.bytes() > 0) std::memcpy(copied.storage.data(), self.storage.data(), self.storage.bytes());
    return copied;
  }
  Tensor copied = empty_like(self);
  copy(copied, self);
  return copied;
}

Tensor contiguous(const Tensor& self) {
  if (self.is_contiguous()) return self;
  Tensor copied = empty(self.sizes, self.dtype);
  copy(copied, self);
  return copied;
}

Tensor to(const Tensor& self, ScalarType dtype) {
  if (self.dtype == dtype) return self;
  Tensor converted = empty_like(self, dtype);
  copy(converted, self);
  return converted;
}

void fill(const Tensor& self, double value) {
  Tensor scalar = empty({}, ScalarType::Double);
  *scalar.data<double>() = value;
  copy(self, scalar);
}

void zero(const Tensor& self) {
  const auto itemsize = static_cast<int64_t>(self.itemsize());
  Loop<1>({&self}).run([&](const std::array<char*, 1>& at, const std::array<int64_t, 1>& stride, int64_t n) {
    if (stride[0] == itemsize) {
      std::memset(at[0], 0, static_cast<size_t>(n * itemsize));
      return;
    }
    for (int64_t i = 0; i < n; ++i) std::memset(at[0] + i * stride[0], 0, static_cast<size_t>(itemsize));
  });
}

}  // namespace slim
