// Operations of two tensors, element by element, in the dtype that torch promotes them to.
#pragma once

#include "iterate.h"
#include "lanes.h"
#include "promote.h"

namespace slim {

// A number as a tensor without dims.
inline Tensor number(double value) {
  Tensor tensor = empty({}, ScalarType::Double);
  fill(tensor, value);
  return tensor;
}

// complex64 is common enough to be computed in as it is; the rest as lanes.h says.
inline ScalarType arithmetic_lane(ScalarType dtype) {
  return dtype == ScalarType::ComplexFloat ? dtype : lane_of(dtype);
}
// clang-format off
AOT_SLIM_VISITOR(visit_arithmetic, AOT_SLIM_CASE(Long, int64_t) AOT_SLIM_CASE(Float, float) AOT_SLIM_CASE(Double, double)
                 AOT_SLIM_COMPLEX, "numbers")
// clang-format on

// f(a, b), broadcast, as a new tensor of `dtype`: f gets and returns int64, float, double or complex numbers.
template <class F>
Tensor compute_binary(const Tensor& a, const Tensor& b, ScalarType dtype, const F& f) {
  const ScalarType lane = arithmetic_lane(dtype);
  const Dims shape = broadcast(a.sizes, b.sizes);
  const Tensor out = empty_strided(shape, elementwise_strides({&a, &b}, shape), lane);
  const Tensor x = to(to(a, dtype), lane);
  const Tensor y = to(to(b, dtype), lane);
  visit_arithmetic(lane, [&](auto type) {
    using T = typename decltype(type)::type;
    map<T, T, T>(out, x, y, f);
  });
  return to(out, dtype);
}

// f(a) as a new tensor of `dtype`, the same way.
template <class F>
Tensor compute_unary(const Tensor& a, ScalarType dtype, const F& f) {
  const ScalarType lane = arithmetic_lane(dtype);
  const Tensor out = empty_strided(a.sizes, elementwise_strides({&a}, a.sizes), lane);
  const Tensor x = to(to(a, dtype), lane);
  visit_arithmetic(lane, [&](auto type) {
    using T = typename decltype(type)::type;
    map<T, T>(out, x, f);
  });
  return to(out, dtype);
}

}  // namespace slim
