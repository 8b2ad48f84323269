// Operations of two tensors, element by element, in the dtype that torch promotes them to.
#pragma once

#include <cstdint>

#include "tensor/iterate.h"
#include "tensor/lanes.h"
#include "tensor/promote.h"

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
  // A number that meets float16 or bfloat16 is not rounded to it first.
  const bool reduced = dtype == ScalarType::Half || dtype == ScalarType::BFloat16;
  const Tensor promoted_a = to(a, reduced && a.dim() == 0 ? lane : dtype);
  const Tensor promoted_b = to(b, reduced && b.dim() == 0 ? lane : dtype);
  const Tensor x = to(promoted_a, lane);
  const Tensor y = to(promoted_b, lane);
  const Tensor out = elementwise_output({&promoted_a, &promoted_b}, lane);
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
  const Tensor out = elementwise_output({&a}, lane);
  const Tensor x = to(to(a, dtype), lane);
  visit_arithmetic(lane, [&](auto type) {
    using T = typename decltype(type)::type;
    map<T, T>(out, x, f);
  });
  return to(out, dtype);
}

}  // namespace slim
