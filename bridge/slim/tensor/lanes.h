// Few types to compute in, for operations where code for every dtype would cost more bytes than it brings speed.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "tensor/tensor.h"

namespace slim {

// The dtype that holds every value of `dtype` and that sums are kept in: int64, float32, float64 or complex128.
// Arithmetic in int64 that is cut to a narrower integer afterwards wraps as it would have done in that integer.
inline ScalarType lane_of(ScalarType dtype) {
  if (is_complex(dtype)) return ScalarType::ComplexDouble;
  if (is_integral(dtype) || dtype == ScalarType::Bool) return ScalarType::Long;
  return dtype == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

// clang-format off
AOT_SLIM_VISITOR(visit_lane, AOT_SLIM_CASE(Long, int64_t) AOT_SLIM_CASE(Float, float) AOT_SLIM_CASE(Double, double)
                 AOT_SLIM_CASE(ComplexDouble, Complex<double>), "lanes")
AOT_SLIM_VISITOR(visit_real_lane, AOT_SLIM_CASE(Long, int64_t) AOT_SLIM_CASE(Float, float) AOT_SLIM_CASE(Double, double),
                 "real numbers")
AOT_SLIM_VISITOR(visit_float_lane, AOT_SLIM_CASE(Float, float) AOT_SLIM_CASE(Double, double), "floating point types")
// clang-format on

// Integer arithmetic that wraps around, as torch's does; everything else as it is.
template <class T>
T wrapping_add(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
  } else {
    return a + b;
  }
}
template <class T>
T wrapping_multiply(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
  } else {
    return a * b;
  }
}

template <class T>
bool is_nan(T value) {
  if constexpr (std::is_integral_v<T>) {
    return false;
  } else {
    return std::isnan(value);
  }
}

// A shape or list argument of the shim.
inline Dims list(const int64_t* values, int64_t count) {
  require(count >= 0 && (values != nullptr || count == 0), "a list of ", count, " values");
  return Dims(values, static_cast<size_t>(count));
}

// Fails, naming the index, the size and the dim, unless -size <= index < size; returns it counted from the front.
inline int64_t checked_index(int64_t index, int64_t dim, int64_t size, const char* what) {
  require(index >= -size && index < size, what, " ", index, " is out of range for size ", size, " of dim ", dim);
  return index < 0 ? index + size : index;
}

}  // namespace slim
