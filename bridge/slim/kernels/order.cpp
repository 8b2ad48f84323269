#include "kernels/order.h"

#include <cstring>
#include <type_traits>

#include "tensor/iterate.h"

namespace slim {
namespace {

constexpr uint64_t kSign = uint64_t{1} << 63;

template <class T>
uint64_t key_of(T value) {
  if constexpr (std::is_same_v<T, uint64_t>) {
    return value;
  } else if constexpr (std::is_integral_v<T>) {
    return static_cast<uint64_t>(static_cast<int64_t>(value)) ^ kSign;
  } else {
    const double number = static_cast<double>(value) + 0.0;  // -0.0 becomes 0.0
    if (number != number) return kNanKey;
    uint64_t bits;
    std::memcpy(&bits, &number, sizeof bits);
    return (bits & kSign) != 0 ? ~bits : bits | kSign;
  }
}

}  // namespace

void load_keys(ScalarType dtype, const char* from, int64_t step, int64_t n, bool descending, Keyed* out) {
  require(!is_complex(dtype), "complex numbers have no order");
  const uint64_t turn = descending ? UINT64_MAX : 0;
  visit_all(dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    if constexpr (!is_complex_v<T>) {
      for (int64_t i = 0; i < n; ++i) out[i] = {key_of(*reinterpret_cast<const T*>(from + i * step)) ^ turn, i};
    }
  });
}

void store_keyed(const Keyed* keys, int64_t n, size_t itemsize, const char* from, int64_t from_step, char* values,
                 int64_t values_step, char* indices, int64_t indices_step) {
  visit_size(itemsize, [&](auto type) {
    using T = typename decltype(type)::type;
    for (int64_t i = 0; i < n; ++i) {
      *reinterpret_cast<T*>(values + i * values_step) = *reinterpret_cast<const T*>(from + keys[i].index * from_step);
      *reinterpret_cast<int64_t*>(indices + i * indices_step) = keys[i].index;
    }
  });
}

}  // namespace slim
