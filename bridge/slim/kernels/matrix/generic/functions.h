// Activations over registers of floats, and the end of a product. Included in each set's folder after vectors.h.
//
// Relative errors are within some units in the last place of 1, as the float32 of a neighbouring layer is.
#pragma once

#include <cstdint>

#include "../kernels.h"

namespace slim::matrix {
namespace {

inline F choose(I condition, F yes, F no) { return condition ? yes : no; }
inline F magnitude(F x) { return (F)((I)x & 0x7fffffff); }
inline F with_sign(F x, F sign) { return (F)((I)x | ((I)sign & INT32_MIN)); }

template <int N>
inline F polynomial(F x, const float (&c)[N]) {
  F sum = all(c[N - 1]);
  for (int i = N - 2; i >= 0; --i) sum = sum * x + c[i];
  return sum;
}

// exp by |r| <= ln(2) / 2; 0 below -87, infinity above 88.7; NaN stays.
inline F exponential(F x) {
  constexpr float kRound = 0x1.8p+23F;
  constexpr float c[] = {0x1p+0F,        0x1p+0F,         0.5F,           0x1.555556p-3F, 0x1.555502p-5F,
                         0x1.110ff2p-7F, 0x1.6d2e00p-10F, 0x1.a26762p-13F};
  F kept = x > 89.0F ? all(89.0F) : x;
  kept = kept < -104.0F ? all(-104.0F) : kept;
  const F rounded = kept * 0x1.715476p+0F + kRound;
  const F k = rounded - kRound;
  const F r = (kept - k * 0x1.62e43p-1F) + k * 0x1.05c61p-29F;
  const I exponent = (I)rounded << 23;    // the low bits of the sum are k
  const I half = (exponent >> 24) << 23;  // scaled in two steps: the result may be denormal, or just representable
  return polynomial(r, c) * (F)(half + (127 << 23)) * (F)(exponent - half + (127 << 23));
}

inline F sigmoid(F x) { return 1.0F / (1.0F + exponential(-x)); }

inline F tanh_of(F x) {
  constexpr float c[] = {-3.33332819422e-1F, 1.33314422036e-1F, -5.37397155531e-2F, 2.06390887954e-2F,
                         -5.70498872745e-3F};
  const F a = magnitude(x);
  const F square = a * a;
  const F near = a + a * square * polynomial(square, c);
  const F far = 1.0F - 2.0F / (1.0F + exponential(a + a));
  return with_sign(choose(a < 0.625F, near, far), x);
}

// x P(x^2) / Q(x^2), fitted to erf on [-4, 4]; within 4e-7.
inline F erf_of(F x) {
  constexpr float kTop[] = {1.128379226F,    0.1848852038F,   5.433078110e-2F, 3.843683517e-3F,
                            3.817765391e-4F, 4.750912922e-6F, -1.352314882e-8F};
  constexpr float kBottom[] = {1, 0.4971837103F, 0.1138765365F, 1.545814797e-2F, 1.309240819e-3F, 6.373326323e-5F};
  F kept = x > 4.0F ? all(4) : x;
  kept = kept < -4.0F ? all(-4) : kept;
  const F square = kept * kept;
  const F value = kept * polynomial(square, kTop) / polynomial(square, kBottom);
  const F low = value < -1.0F ? all(-1) : value;
  return low > 1.0F ? all(1) : low;
}

template <Unary U>
inline F activated(F x, float alpha, float beta) {
  switch (U) {
    case Unary::kNone:
      return x;
    case Unary::kRelu:
      return x < 0.0F ? all(0) : x;
    case Unary::kLeakyRelu:
      return x < 0.0F ? x * alpha : x;
    case Unary::kSigmoid:
      return sigmoid(x);
    case Unary::kTanh:
      return tanh_of(x);
    case Unary::kSwish:
      return x * sigmoid(x);
    case Unary::kHardswish:
    case Unary::kHardsigmoid: {
      F gate = x + 3.0F;
      gate = gate < 0.0F ? all(0) : gate;
      gate = gate > 6.0F ? all(6) : gate;
      return (U == Unary::kHardswish ? x * gate : gate) / 6.0F;
    }
    case Unary::kHardtanh: {
      const F low = x < alpha ? all(alpha) : x;
      return low > beta ? all(beta) : low;
    }
    case Unary::kGelu:
      return x * 0.5F * (1.0F + erf_of(x * 0.70710678118654752440F));
    case Unary::kGeluTanh:
      return x * 0.5F * (1.0F + tanh_of(0.79788456080286535588F * (x + 0.044715F * x * x * x)));
  }
  return x;
}

inline F combined(Binary binary, F x, F other) {
  if (binary == Binary::kAdd) return x + other;
  return binary == Binary::kSubtract ? x - other : x * other;
}

// A register of which `count` numbers are there.
inline F load_some(const float* from, int64_t count) {
  if (count >= kLanes) return load<F>(from);
  float some[kLanes] = {};
  for (int64_t i = 0; i < count; ++i) some[i] = from[i];
  return load<F>(some);
}
inline void store_some(float* to, F value, int64_t count) {
  if (count >= kLanes) return store(to, value);
  float some[kLanes];
  store(some, value);
  for (int64_t i = 0; i < count; ++i) to[i] = some[i];
}

bool has_nan(const float* from, int64_t count) {
  I found{};
  for (int64_t i = 0; i < count; i += kLanes) {
    const F x = load<F>(from + i);
    found |= x != x;
  }
  for (int i = 0; i < kLanes; ++i) {
    if (found[i] != 0) return true;
  }
  return false;
}

// Whole registers of a column of registers, where nothing is scaled and nothing kept.
template <Unary U, bool Adds>
void finish_column(const Place& place, const Result& result, int64_t column) {
  // Less than nothing leaves the sign of a zero alone.
  const F bias = result.bias == nullptr ? all(-0.0F) : load<F>(result.bias + place.column + column);
  const float* sums = static_cast<const float*>(place.sums) + column;
  float* out = result.out + place.row * result.row_stride + place.column + column;
  const float* other = Adds ? result.other + place.row * result.other_row_stride + place.column + column : nullptr;
  // What is stored might be these, as far as the compiler knows.
  const int64_t rows = place.rows;
  const int64_t stride = place.stride;
  const int64_t row_stride = result.row_stride;
  const int64_t other_row_stride = result.other_row_stride;
  const float alpha = result.alpha;
  const float beta = result.beta;
  for (int64_t i = 0; i < rows; ++i) {
    F x = load<F>(sums) + bias;
    if (Adds) {
      x += load<F>(other);
      other += other_row_stride;
    }
    store(out, activated<U>(x, alpha, beta));
    sums += stride;
    out += row_stride;
  }
}

template <Unary U>
void finish_register(const Place& place, const Result& result, int64_t column) {
  const int64_t count = place.columns - column;
  const F bias = result.bias == nullptr ? all(-0.0F) : load_some(result.bias + place.column + column, count);
  for (int64_t i = 0; i < place.rows; ++i) {
    const int64_t row = place.row + i;
    float* out = result.out + row * result.row_stride + place.column + column;
    F x = load<F>(static_cast<const float*>(place.sums) + i * place.stride + column);  // whole panels
    if (result.scale != 1) x *= result.scale;
    x += bias;
    if (result.keep != 0) x += result.keep * load_some(out, count);
    if (result.binary != Binary::kNone) {
      const float* other = result.other + row * result.other_row_stride + place.column + column;
      x = combined(result.binary, x, load_some(other, count));
    }
    store_some(out, activated<U>(x, result.alpha, result.beta), count);
  }
}

template <Unary U>
void finish_as(const Place& place, const Result& result) {
  const bool is_plain = result.scale == 1 && result.keep == 0;
  int64_t column = 0;
  if (is_plain && result.binary == Binary::kNone) {
    for (; column + kLanes <= place.columns; column += kLanes) finish_column<U, false>(place, result, column);
  } else if (is_plain && result.binary == Binary::kAdd) {
    for (; column + kLanes <= place.columns; column += kLanes) finish_column<U, true>(place, result, column);
  }
  for (; column < place.columns; column += kLanes) finish_register<U>(place, result, column);
}

void finish(const Place& place, const Result& result) {
  switch (result.unary) {
    case Unary::kNone:
      return finish_as<Unary::kNone>(place, result);
    case Unary::kRelu:
      return finish_as<Unary::kRelu>(place, result);
    case Unary::kLeakyRelu:
      return finish_as<Unary::kLeakyRelu>(place, result);
    case Unary::kSigmoid:
      return finish_as<Unary::kSigmoid>(place, result);
    case Unary::kTanh:
      return finish_as<Unary::kTanh>(place, result);
    case Unary::kSwish:
      return finish_as<Unary::kSwish>(place, result);
    case Unary::kHardswish:
      return finish_as<Unary::kHardswish>(place, result);
    case Unary::kHardsigmoid:
      return finish_as<Unary::kHardsigmoid>(place, result);
    case Unary::kHardtanh:
      return finish_as<Unary::kHardtanh>(place, result);
    case Unary::kGelu:
      return finish_as<Unary::kGelu>(place, result);
    case Unary::kGeluTanh:
      return finish_as<Unary::kGeluTanh>(place, result);
  }
}

}  // namespace
}  // namespace slim::matrix
