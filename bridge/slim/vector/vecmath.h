// The vector functions that generated code calls under SLEEF's names. Included once for each register width.
//
// Before including, define
//   AOT_SLIM_LANES   doubles in a register: 4 (AVX2) or 8 (AVX-512)
//   AOT_SLIM_FLOATS  the register of floats, such as __m512
//   AOT_SLIM_DOUBLES the register of doubles, such as __m512d
//   AOT_SLIM_TWO_FLOATS, AOT_SLIM_TWO_DOUBLES  SLEEF's pairs of them
//   AOT_SLIM_NAME(f, suffix, type) the name for this width: Slimf_expf16_u10 of (exp, _u10, f)
//
// float: computed in double, two registers of them, with relative errors below 1e-10, and rounded once. That is within
//   0.51 ULP (exp: 0.96), where SLEEF's _u10 promises 1.0, and needs none of the pairs-of-floats arithmetic that makes
//   a library of it.
// double: a loop over libm's function, which glibc keeps within 1 ULP or 2. Models in double are rare.
//
// Everything here has internal linkage: a function shared with a file compiled for lesser machines could be the one the
// linker keeps.

#include <immintrin.h>
#include <math.h>
#include <stdint.h>

#pragma GCC visibility push(default)
#include <sleef.h>
#pragma GCC visibility pop

namespace {

typedef double V __attribute__((vector_size(8 * AOT_SLIM_LANES)));
typedef int64_t I __attribute__((vector_size(8 * AOT_SLIM_LANES)));
typedef float Narrow __attribute__((vector_size(4 * AOT_SLIM_LANES)));

constexpr double kInf = __builtin_inf();
constexpr double kNaN = __builtin_nan("");
constexpr double kLn2 = 0x1.62e42fefa39efp-1;
constexpr double kLog2e = 0x1.71547652b82fep+0;
constexpr double kLog10e = 0x1.bcb7b1526e50ep-2;
constexpr double kPi = 0x1.921fb54442d18p+1;
// Added and taken away again it rounds to an integer, which is then in the low bits of the sum.
constexpr double kRound = 0x1.8p+52;

inline V all(double value) { return V{} + value; }
inline I bits(V x) { return (I)x; }
inline V value(I x) { return (V)x; }
inline V abs(V x) { return value(bits(x) & INT64_MAX); }
inline V with_sign(V magnitude, V sign) { return value(bits(magnitude) | (bits(sign) & INT64_MIN)); }
inline I negative(V x) { return bits(x) < 0; }  // by the sign bit: true for -0
inline I is_nan(V x) { return x != x; }
inline V at_most(V x, double limit) { return x > limit ? all(limit) : x; }  // both keep NaN
inline V at_least(V x, double limit) { return x < limit ? all(limit) : x; }
inline V sqrt(V x) {
#if AOT_SLIM_LANES == 8
  return (V)_mm512_maskz_sqrt_pd(0xff, (__m512d)x);  // gcc 12 warns about its own header for the plain one
#else
  return (V)_mm256_sqrt_pd((__m256d)x);
#endif
}

// c[0] + c[1] x + c[2] x^2 ...
template <int N>
inline V polynomial(V x, const double (&c)[N]) {
  V sum = all(c[N - 1]);
  for (int i = N - 2; i >= 0; --i) sum = sum * x + c[i];
  return sum;
}

// 2^k for integers k in [-1022, 1023] held in the low bits of `rounded`, a number that kRound was added to.
inline V power_of_two(V rounded) { return value((bits(rounded) + 1023) << 52); }

// exp(r) - 1 for |r| <= ln(2) / 2.
inline V expm1_reduced(V r) {
  constexpr double c[] = {1.0,       1.0 / 2,    1.0 / 6,     1.0 / 24,     1.0 / 120,
                          1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800};
  return r * polynomial(r, c);
}

inline V exp2_of(V x) {
  x = at_most(at_least(x, -1000), 1000);
  const V rounded = x + kRound;
  const V r = (x - (rounded - kRound)) * kLn2;
  const V scale = power_of_two(rounded);
  return scale * expm1_reduced(r) + scale;
}

inline V exp_of(V x) {
  x = at_most(at_least(x, -700), 700);
  const V rounded = x * kLog2e + kRound;
  const V r = x - (rounded - kRound) * kLn2;
  const V scale = power_of_two(rounded);
  return scale * expm1_reduced(r) + scale;
}

inline V expm1_of(V x) {
  x = at_most(at_least(x, -700), 700);
  const V rounded = x * kLog2e + kRound;
  const V r = x - (rounded - kRound) * kLn2;
  const V scale = power_of_two(rounded);
  return scale * expm1_reduced(r) + (scale - 1);
}

struct Split {
  V exponent, log_mantissa;  // x = 2^exponent * mantissa, the mantissa in [sqrt(1/2), sqrt(2))
};

// For normal x > 0, which every positive float is as a double.
inline Split split_log(V x) {
  constexpr int64_t kSqrtHalf = 0x3fe6a09e667f3bcd;
  const I shifted = bits(x) - kSqrtHalf;
  const I exponent = shifted >> 52;
  const V mantissa = value(bits(x) - (exponent << 52));
  const V s = (mantissa - 1) / (mantissa + 1);
  constexpr double c[] = {2.0, 2.0 / 3, 2.0 / 5, 2.0 / 7, 2.0 / 9, 2.0 / 11, 2.0 / 13, 2.0 / 15, 2.0 / 17};
  return {__builtin_convertvector(exponent, V), s * polynomial(s * s, c)};
}

// `result` is the logarithm for normal x > 0; the rest of the line.
inline V log_everywhere(V x, V result) {
  result = x == kInf ? all(kInf) : result;
  result = x == 0 ? all(-kInf) : result;
  return (x < 0) | is_nan(x) ? all(kNaN) : result;
}

inline V log_of(V x) {
  const Split s = split_log(x);
  return log_everywhere(x, s.exponent * kLn2 + s.log_mantissa);
}
inline V log2_of(V x) {
  const Split s = split_log(x);
  return log_everywhere(x, s.exponent + s.log_mantissa * kLog2e);
}
inline V log10_of(V x) { return log_of(x) * kLog10e; }
inline V log1p_of(V x) {
  const V u = 1 + x;
  const V lost = (x - (u - 1)) / u;  // what rounding took from 1 + x
  return log_of(u) + (((u > 0) & (u < kInf)) ? lost : all(0));
}

inline V sinh_of(V x) {
  const V e = expm1_of(at_most(abs(x), 200));
  return with_sign((e + e / (e + 1)) * 0.5, x);
}
inline V cosh_of(V x) {
  const V e = exp_of(at_most(abs(x), 200));
  return (e + 1 / e) * 0.5;
}
inline V tanh_of(V x) {
  const V e = expm1_of(at_most(abs(x) * 2, 60));
  return with_sign(e / (e + 2), x);
}
inline V asinh_of(V x) {
  const V a = abs(x);
  const V result = log1p_of(a + a * a / (1 + sqrt(a * a + 1)));
  return with_sign(a == kInf ? a : result, x);
}
inline V acosh_of(V x) {
  const V t = x - 1;
  const V result = log1p_of(t + sqrt(t * (t + 2)));
  return x < 1 ? all(kNaN) : result;
}
inline V atanh_of(V x) {
  const V a = abs(x);
  const V result = log1p_of(2 * a / (1 - a)) * 0.5;
  return with_sign(a == 1 ? all(kInf) : result, x);
}

// The angle within a quarter turn and the quarter it lies in. |x| up to 1e9 by two fused steps; libm beyond.
struct Angle {
  V rest;
  I quarter;
};
inline Angle reduce(V x) {
  constexpr double kHigh = 0x1.921fb54442d18p+0;
  constexpr double kLow = 0x1.1a62633145c07p-54;
  const V rounded = x * (2 / kPi) + kRound;
  const V q = rounded - kRound;
  return {(x - q * kHigh) - q * kLow, bits(rounded)};
}
inline V sin_reduced(V r) {
  constexpr double c[] = {1.0, -1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880, -1.0 / 39916800, 1.0 / 6227020800};
  return r * polynomial(r * r, c);
}
inline V cos_reduced(V r) {
  constexpr double c[] = {1.0, -1.0 / 2, 1.0 / 24, -1.0 / 720, 1.0 / 40320, -1.0 / 3628800, 1.0 / 479001600};
  return polynomial(r * r, c);
}
inline V flip_if(V x, I odd) { return value(bits(x) ^ (odd << 63)); }

template <double (*F)(double)>
inline V by_lane_where(I where, V x, V otherwise) {
  for (int i = 0; i < AOT_SLIM_LANES; ++i) {
    if (where[i]) otherwise[i] = F(x[i]);
  }
  return otherwise;
}
inline bool any(I mask) {
  int64_t sum = 0;
  for (int i = 0; i < AOT_SLIM_LANES; ++i) sum |= mask[i];
  return sum != 0;
}
inline I is_far(V x) { return abs(x) > 1e9; }

inline V sin_of(V x) {
  const Angle a = reduce(x);
  const V result = flip_if((a.quarter & 1) != 0 ? cos_reduced(a.rest) : sin_reduced(a.rest), (a.quarter >> 1) & 1);
  return __builtin_expect(any(is_far(x)), 0) ? by_lane_where<::sin>(is_far(x), x, result) : result;
}
inline V cos_of(V x) {
  const Angle a = reduce(x);
  const V result =
      flip_if((a.quarter & 1) != 0 ? sin_reduced(a.rest) : cos_reduced(a.rest), ((a.quarter + 1) >> 1) & 1);
  return __builtin_expect(any(is_far(x)), 0) ? by_lane_where<::cos>(is_far(x), x, result) : result;
}
inline V tan_of(V x) {
  const Angle a = reduce(x);
  const V s = sin_reduced(a.rest);
  const V c = cos_reduced(a.rest);
  const V result = (a.quarter & 1) != 0 ? -c / s : s / c;
  return __builtin_expect(any(is_far(x)), 0) ? by_lane_where<::tan>(is_far(x), x, result) : result;
}

// atan(t) for 0 <= t <= 1.
inline V atan_unit(V t) {
  constexpr double kTanEighth = 0x1.a827999fcef32p-2;  // tan(pi / 8)
  constexpr double c[] = {0.99999999999997322,  -0.33333333330802671,  0.19999999604787235,
                          -0.14285690418495543, 0.11110384913255042,   -0.090783902895086733,
                          0.075636903644334722, -0.058744550821707237, 0.030661656753752624};
  const I upper = t > kTanEighth;
  const V u = upper ? (t - 1) / (t + 1) : t;
  const V result = u * polynomial(u * u, c);
  return upper ? result + kPi / 4 : result;
}
inline V atan_of(V x) {
  const V a = abs(x);
  const V result = a > 1 ? kPi / 2 - atan_unit(1 / a) : atan_unit(a);
  return with_sign(result, x);
}
inline V atan2_of(V y, V x) {
  const V ay = abs(y);
  const V ax = abs(x);
  const V most = ay > ax ? ay : ax;
  const V least = ay > ax ? ax : ay;
  V ratio = least / most;
  ratio = most == 0 ? all(0) : ratio;
  ratio = least == kInf ? all(1) : ratio;
  V angle = atan_unit(ratio);
  angle = ay > ax ? kPi / 2 - angle : angle;
  angle = negative(x) ? kPi - angle : angle;
  return is_nan(x) | is_nan(y) ? x + y : with_sign(angle, y);
}
inline V asin_of(V x) { return atan2_of(x, sqrt((1 - x) * (1 + x))); }
inline V acos_of(V x) { return atan2_of(sqrt((1 - x) * (1 + x)), x); }

// erfc(a) for a >= 0: exp(-a^2) times a polynomial fitted in t = 1 / (1 + a / 2).
inline V erfc_positive(V a) {
  constexpr double c[] = {0.28209417065283346,  0.28211835994979583, 0.24642862410010747,  0.18046658006290665,
                          0.055123351662602078, 0.13510959912278583, -0.55236406300244726, 1.244942077066212,
                          -2.5043201511343337,  3.5174391325139594,  -3.2520004626933805,  1.9783601987044477,
                          -0.77188082701501415, 0.17661493602908836, -0.018131526019270711};
  a = at_most(a, 12);
  const V t = 1 / (1 + a * 0.5);
  return exp_of(-a * a) * t * polynomial(t, c);
}
inline V erf_of(V x) {
  constexpr double c[] = {1.1283791670954938,     -0.37612638902808614,   0.11283791658548713,
                          -0.026866169050599324,  0.0052239671935438997,  -0.00085479337365196332,
                          0.00012046261269779797, -1.4795031400662045e-5, 1.5306373163641084e-6,
                          -1.0469110332151208e-7};
  const V a = abs(x);
  const V near = x * polynomial(x * x, c);
  const V far = with_sign(1 - erfc_positive(a), x);
  return a < 1 ? near : far;
}
inline V erfc_of(V x) {
  const V result = erfc_positive(abs(x));
  return negative(x) ? 2 - result : result;
}

inline V hypot_of(V x, V y) {
  const V ax = abs(x);
  const V ay = abs(y);
  return ((ax == kInf) | (ay == kInf)) ? all(kInf) : sqrt(x * x + y * y);
}

inline V truncate(V x) {
  const V a = abs(x);
  V whole = (a + 0x1p52) - 0x1p52;
  whole = whole > a ? whole - 1 : whole;
  return a < 0x1p52 ? with_sign(whole, x) : x;
}
inline V pow_of(V x, V y) {
  const V a = abs(x);
  const Split s = split_log(a);
  V result = exp_of(y * log_everywhere(a, s.exponent * kLn2 + s.log_mantissa));
  const I whole = truncate(y) == y;
  const I odd = whole & (truncate(y * 0.5) != y * 0.5);
  result = (negative(x) & odd) ? -result : result;
  result = ((x < 0) & ~whole & (a != kInf)) ? all(kNaN) : result;
  const I one = (y == 0) | (x == 1) | ((a == 1) & (abs(y) == kInf) & (x == x));
  return one ? all(1) : result;
}

// exp carries softmax, sigmoid and GELU, so it is worth computing in float: ln(2) in two parts, fused, and a polynomial
// whose error is below 0.02 ULP. Denormal results come of scaling in two steps.
typedef float F __attribute__((vector_size(8 * AOT_SLIM_LANES)));
typedef int32_t J __attribute__((vector_size(8 * AOT_SLIM_LANES)));
inline F exp_float(F x) {
  constexpr float kRoundFloat = 0x1.8p+23F;
  x = x > 128.0F ? F{} + 128.0F : x;
  x = x < -150.0F ? F{} - 150.0F : x;
  const F rounded = x * 0x1.715476p+0F + kRoundFloat;
  const F k = rounded - kRoundFloat;
  const F r = (x - k * 0x1.62e43p-1F) + k * 0x1.05c61p-29F;
  F sum = F{} + 0x1.a26762p-13F;
  sum = sum * r + 0x1.6d2e00p-10F;
  sum = sum * r + 0x1.110ff2p-7F;
  sum = sum * r + 0x1.555502p-5F;
  sum = sum * r + 0x1.555556p-3F;
  sum = sum * r + 0.5F;
  const J exponent = (J)rounded << 23;  // the low bits of the sum are k
  const J half = (exponent >> 24) << 23;
  const F first = (F)(half + (127 << 23));
  const F second = (F)(exponent - half + (127 << 23));
  return ((sum * r * r + r) * first + first) * second;
}

template <V (*F)(V)>
inline AOT_SLIM_FLOATS of_floats(AOT_SLIM_FLOATS x) {
  Narrow half[2];
  __builtin_memcpy(half, &x, sizeof x);
  for (Narrow& part : half) part = __builtin_convertvector(F(__builtin_convertvector(part, V)), Narrow);
  __builtin_memcpy(&x, half, sizeof x);
  return x;
}
template <V (*F)(V, V)>
inline AOT_SLIM_FLOATS of_floats(AOT_SLIM_FLOATS x, AOT_SLIM_FLOATS y) {
  Narrow a[2];
  Narrow b[2];
  __builtin_memcpy(a, &x, sizeof x);
  __builtin_memcpy(b, &y, sizeof y);
  for (int i = 0; i < 2; ++i) {
    a[i] = __builtin_convertvector(F(__builtin_convertvector(a[i], V), __builtin_convertvector(b[i], V)), Narrow);
  }
  __builtin_memcpy(&x, a, sizeof x);
  return x;
}

// libm's function, lane by lane.
template <class T, class Register, T (*F)(T)>
inline Register by_lane(Register x) {
  T lane[sizeof(Register) / sizeof(T)];
  __builtin_memcpy(lane, &x, sizeof x);
  for (T& element : lane) element = F(element);
  __builtin_memcpy(&x, lane, sizeof x);
  return x;
}
template <class T, class Register, T (*F)(T, T)>
inline Register by_lane(Register x, Register y) {
  T a[sizeof(Register) / sizeof(T)];
  T b[sizeof(Register) / sizeof(T)];
  __builtin_memcpy(a, &x, sizeof x);
  __builtin_memcpy(b, &y, sizeof y);
  for (unsigned i = 0; i < sizeof(Register) / sizeof(T); ++i) a[i] = F(a[i], b[i]);
  __builtin_memcpy(&x, a, sizeof x);
  return x;
}

// lgamma without the write to the global `signgam`, which threads would share.
double lgamma_alone(double x) {
  int sign = 0;
  return lgamma_r(x, &sign);
}
float lgammaf_alone(float x) { return static_cast<float>(lgamma_alone(x)); }

// hypot without asking for glibc 2.35, whose function is a new one: in long double nothing overflows on the way.
double hypot_wide(double x, double y) {
  if (isinf(x) || isinf(y)) return kInf;
  return static_cast<double>(sqrtl(static_cast<long double>(x) * x + static_cast<long double>(y) * y));
}

}  // namespace

#define AOT_SLIM_FLOAT1(NAME, SUFFIX) \
  AOT_SLIM_FLOATS AOT_SLIM_NAME(NAME, SUFFIX, f)(AOT_SLIM_FLOATS x) { return of_floats<NAME##_of>(x); }
#define AOT_SLIM_DOUBLE1(NAME, SUFFIX)                                  \
  AOT_SLIM_DOUBLES AOT_SLIM_NAME(NAME, SUFFIX, d)(AOT_SLIM_DOUBLES x) { \
    return by_lane<double, AOT_SLIM_DOUBLES, ::NAME>(x);                \
  }
#define AOT_SLIM_DOUBLE2(NAME, SUFFIX)                                                      \
  AOT_SLIM_DOUBLES AOT_SLIM_NAME(NAME, SUFFIX, d)(AOT_SLIM_DOUBLES x, AOT_SLIM_DOUBLES y) { \
    return by_lane<double, AOT_SLIM_DOUBLES, ::NAME>(x, y);                                 \
  }
#define AOT_SLIM_BOTH1(NAME, SUFFIX) AOT_SLIM_FLOAT1(NAME, SUFFIX) AOT_SLIM_DOUBLE1(NAME, SUFFIX)
#define AOT_SLIM_BOTH2(NAME, SUFFIX)                                                     \
  AOT_SLIM_FLOATS AOT_SLIM_NAME(NAME, SUFFIX, f)(AOT_SLIM_FLOATS x, AOT_SLIM_FLOATS y) { \
    return of_floats<NAME##_of>(x, y);                                                   \
  }                                                                                      \
  AOT_SLIM_DOUBLE2(NAME, SUFFIX)
// Exact functions: libm's for both.
#define AOT_SLIM_EXACT2(NAME)                                                      \
  AOT_SLIM_FLOATS AOT_SLIM_NAME(NAME, , f)(AOT_SLIM_FLOATS x, AOT_SLIM_FLOATS y) { \
    return by_lane<float, AOT_SLIM_FLOATS, ::NAME##f>(x, y);                       \
  }                                                                                \
  AOT_SLIM_DOUBLE2(NAME, )

#pragma GCC visibility push(default)
extern "C" {

AOT_SLIM_DOUBLE1(exp, _u10)
AOT_SLIM_FLOATS AOT_SLIM_NAME(exp, _u10, f)(AOT_SLIM_FLOATS x) { return (AOT_SLIM_FLOATS)exp_float((F)x); }
AOT_SLIM_BOTH1(exp2, _u10)
AOT_SLIM_BOTH1(expm1, _u10)
AOT_SLIM_BOTH1(log, _u10)
AOT_SLIM_BOTH1(log2, _u10)
AOT_SLIM_BOTH1(log10, _u10)
AOT_SLIM_BOTH1(log1p, _u10)
AOT_SLIM_BOTH1(sin, _u10)
AOT_SLIM_BOTH1(cos, _u10)
AOT_SLIM_BOTH1(tan, _u10)
AOT_SLIM_BOTH1(asin, _u10)
AOT_SLIM_BOTH1(acos, _u10)
AOT_SLIM_BOTH1(atan, _u10)
AOT_SLIM_BOTH1(sinh, _u10)
AOT_SLIM_BOTH1(cosh, _u10)
AOT_SLIM_BOTH1(tanh, _u10)
AOT_SLIM_BOTH1(asinh, _u10)
AOT_SLIM_BOTH1(acosh, _u10)
AOT_SLIM_BOTH1(atanh, _u10)
AOT_SLIM_BOTH1(erf, _u10)
AOT_SLIM_BOTH1(erfc, _u15)
AOT_SLIM_FLOAT1(sin, _u35)
AOT_SLIM_FLOAT1(cos, _u35)
AOT_SLIM_BOTH2(atan2, _u10)
AOT_SLIM_BOTH2(pow, _u10)
AOT_SLIM_EXACT2(fmod)
AOT_SLIM_EXACT2(copysign)
AOT_SLIM_EXACT2(nextafter)

AOT_SLIM_FLOATS AOT_SLIM_NAME(hypot, _u05, f)(AOT_SLIM_FLOATS x, AOT_SLIM_FLOATS y) {
  return of_floats<hypot_of>(x, y);
}
AOT_SLIM_DOUBLES AOT_SLIM_NAME(hypot, _u05, d)(AOT_SLIM_DOUBLES x, AOT_SLIM_DOUBLES y) {
  return by_lane<double, AOT_SLIM_DOUBLES, hypot_wide>(x, y);
}

AOT_SLIM_FLOATS AOT_SLIM_NAME(lgamma, _u10, f)(AOT_SLIM_FLOATS x) {
  return by_lane<float, AOT_SLIM_FLOATS, lgammaf_alone>(x);
}
AOT_SLIM_DOUBLES AOT_SLIM_NAME(lgamma, _u10, d)(AOT_SLIM_DOUBLES x) {
  return by_lane<double, AOT_SLIM_DOUBLES, lgamma_alone>(x);
}

AOT_SLIM_TWO_FLOATS AOT_SLIM_NAME(sincos, _u10, f)(AOT_SLIM_FLOATS x) {
  return {of_floats<sin_of>(x), of_floats<cos_of>(x)};
}
AOT_SLIM_TWO_DOUBLES AOT_SLIM_NAME(sincos, _u10, d)(AOT_SLIM_DOUBLES x) {
  return {by_lane<double, AOT_SLIM_DOUBLES, ::sin>(x), by_lane<double, AOT_SLIM_DOUBLES, ::cos>(x)};
}
}
#pragma GCC visibility pop
