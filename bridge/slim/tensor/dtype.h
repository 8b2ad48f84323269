// Element types: torch's own numbering, sizes, and visitors that turn a run-time dtype into a C++ type.
#pragma once

#include <torch/headeronly/core/ScalarType.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "tensor/error.h"

namespace slim {

using c10::BFloat16;
using c10::Half;
using c10::ScalarType;
template <class T>
using Complex = c10::complex<T>;

// Bytes of one element; fails for numbers that are no dtype.
size_t element_size(ScalarType dtype);

// Torch's name without the prefix, such as "float32".
const char* dtype_name(ScalarType dtype) noexcept;

bool is_floating(ScalarType dtype) noexcept;
bool is_complex(ScalarType dtype) noexcept;
bool is_integral(ScalarType dtype) noexcept;  // without bool

// The dtype that a binary operation of two tensors of at least one dim computes in.
ScalarType promote(ScalarType a, ScalarType b);

template <class T>
inline constexpr bool is_complex_v = false;
template <class T>
inline constexpr bool is_complex_v<Complex<T>> = true;
template <class T>
inline constexpr bool is_reduced_v = std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>;
template <class T>
inline constexpr bool is_floating_v = std::is_floating_point_v<T> || is_reduced_v<T>;

// The type that sums and products of T are held in: float for half floats, double for double, int64 for integers.
template <class T, class = void>
struct AccumulateT {
  using type = T;
};
template <class T>
struct AccumulateT<T, std::enable_if_t<is_reduced_v<T>>> {
  using type = float;
};
template <class T>
struct AccumulateT<T, std::enable_if_t<std::is_integral_v<T>>> {
  using type = int64_t;
};
template <class T>
using Accumulate = typename AccumulateT<T>::type;

// A number as an element. A half, or a pair of floats, is made from a float; C++ would narrow the number to one without
// a word.
template <class T, class N>
T number_as(N number) {
  if constexpr (is_reduced_v<T> || std::is_same_v<T, Complex<float>>) {
    return static_cast<T>(static_cast<float>(number));
  } else {
    return static_cast<T>(number);
  }
}

// A type as a value, for generic lambdas: visit_real(dtype, [&](auto type) { using T = typename decltype(type)::type;
// ... }).
template <class T>
struct Type {
  using type = T;
};

[[noreturn]] void unsupported(ScalarType dtype, const char* accepted);

// clang-format off
#define AOT_SLIM_CASE(NAME, T) case ScalarType::NAME: return f(Type<T>{});
#define AOT_SLIM_BOOL AOT_SLIM_CASE(Bool, bool)
#define AOT_SLIM_INTEGRAL AOT_SLIM_CASE(Byte, uint8_t) AOT_SLIM_CASE(Char, int8_t) AOT_SLIM_CASE(Short, int16_t) \
  AOT_SLIM_CASE(Int, int32_t) AOT_SLIM_CASE(Long, int64_t)
#define AOT_SLIM_UNSIGNED AOT_SLIM_CASE(UInt16, uint16_t) AOT_SLIM_CASE(UInt32, uint32_t) AOT_SLIM_CASE(UInt64, uint64_t)
#define AOT_SLIM_FLOATING AOT_SLIM_CASE(Half, Half) AOT_SLIM_CASE(BFloat16, BFloat16) AOT_SLIM_CASE(Float, float) \
  AOT_SLIM_CASE(Double, double)
#define AOT_SLIM_COMPLEX AOT_SLIM_CASE(ComplexFloat, Complex<float>) AOT_SLIM_CASE(ComplexDouble, Complex<double>)
#define AOT_SLIM_VISITOR(NAME, CASES, ACCEPTED)                      \
  template <class F> decltype(auto) NAME(ScalarType dtype, F&& f) {  \
    switch (dtype) { CASES default: unsupported(dtype, ACCEPTED); }  \
  }
// uint8 int8 int16 int32 int64
AOT_SLIM_VISITOR(visit_integral, AOT_SLIM_INTEGRAL, "integers")
// float16 bfloat16 float32 float64
AOT_SLIM_VISITOR(visit_floating, AOT_SLIM_FLOATING, "floating point types")
// complex64 complex128
AOT_SLIM_VISITOR(visit_complex, AOT_SLIM_COMPLEX, "complex types")
// integral and floating
AOT_SLIM_VISITOR(visit_real, AOT_SLIM_INTEGRAL AOT_SLIM_FLOATING, "integers and floating point types")
// bool, integral and floating
AOT_SLIM_VISITOR(visit_real_or_bool, AOT_SLIM_BOOL AOT_SLIM_INTEGRAL AOT_SLIM_FLOATING, "bool, integers and floating point types")
// floating and complex
AOT_SLIM_VISITOR(visit_inexact, AOT_SLIM_FLOATING AOT_SLIM_COMPLEX, "floating point and complex types")
// integral, floating and complex
AOT_SLIM_VISITOR(visit_number, AOT_SLIM_INTEGRAL AOT_SLIM_FLOATING AOT_SLIM_COMPLEX, "numbers")
// bool, all integers (uint16 to uint64 too), floating and complex
AOT_SLIM_VISITOR(visit_all, AOT_SLIM_BOOL AOT_SLIM_INTEGRAL AOT_SLIM_UNSIGNED AOT_SLIM_FLOATING AOT_SLIM_COMPLEX, "bool and numbers")
// int32 int64
AOT_SLIM_VISITOR(visit_index, AOT_SLIM_CASE(Int, int32_t) AOT_SLIM_CASE(Long, int64_t), "int32 and int64")
// clang-format on

// For code that only moves elements: f gets an unsigned type, or a pair of them, of the element's size.
struct Bytes16 {
  uint64_t low, high;
};
template <class F>
decltype(auto) visit_size(size_t bytes, F&& f) {
  switch (bytes) {
    case 1:
      return f(Type<uint8_t>{});
    case 2:
      return f(Type<uint16_t>{});
    case 4:
      return f(Type<uint32_t>{});
    case 8:
      return f(Type<uint64_t>{});
    case 16:
      return f(Type<Bytes16>{});
    default:
      fail("elements of ", bytes, " bytes are not supported");
  }
}

}  // namespace slim
