// Holds the vector functions of libaot_slim.so against libm in long double: one float in 16 * 3989 of all there are,
// and the corners of the functions of two arguments. Prints what is off; the exit status counts it.
#include <immintrin.h>
#include <sleef.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>

namespace {

int failures = 0;

// Units in the last place between a float and the exact value.
double distance(float got, long double exact) {
  const auto rounded = static_cast<float>(exact);
  if (std::isnan(rounded) || std::isnan(got)) return std::isnan(rounded) == std::isnan(got) ? 0 : INFINITY;
  if (got == rounded) return std::signbit(got) == std::signbit(rounded) ? 0 : INFINITY;
  if (std::isinf(rounded) || std::isinf(got))
    return std::fabs(exact) > 3.4028234e38L && std::fabs(got) > 3.4e38F ? 0 : INFINITY;
  const float magnitude = std::fabs(rounded);
  return static_cast<double>(std::fabs(got - exact) / (std::nextafterf(magnitude, INFINITY) - magnitude));
}

template <class Register>
Register load(const float* from) {
  Register r;
  std::memcpy(&r, from, sizeof r);
  return r;
}

template <class Register>
void check(const char* name, Register (*function)(Register), long double (*exact)(long double), double allowed) {
  constexpr int kLanes = sizeof(Register) / sizeof(float);
  double worst = 0;
  float worst_at = 0;
  for (uint64_t bits = 0; bits <= UINT32_MAX; bits += uint64_t{kLanes} * 3989) {
    float in[kLanes];
    float out[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      const auto pattern = static_cast<uint32_t>(bits + static_cast<uint64_t>(i) * 3989);
      std::memcpy(in + i, &pattern, sizeof pattern);
    }
    const Register result = function(load<Register>(in));
    std::memcpy(out, &result, sizeof out);
    for (int i = 0; i < kLanes; ++i) {
      const double off = distance(out[i], exact(in[i]));
      if (off > worst) {
        worst = off;
        worst_at = in[i];
      }
    }
  }
  if (worst > allowed) {
    std::printf("%s of %d floats: %g ULP at %a\n", name, kLanes, worst, worst_at);
    ++failures;
  }
}

template <class Register>
void check(const char* name, Register (*function)(Register, Register), long double (*exact)(long double, long double),
           double allowed) {
  constexpr int kLanes = sizeof(Register) / sizeof(float);
  const float values[] = {0.0F,    -0.0F,   1.0F,  -1.0F,    2.0F,      -3.0F,         0.5F,
                          -2.5F,   1e-40F,  1e30F, -1e30F,   1e-30F,    7.0F,          31.0F,
                          1.0001F, 0.9999F, -0.3F, INFINITY, -INFINITY, std::nanf(""), 127.5F};
  for (const float x : values) {
    for (const float y : values) {
      float a[kLanes];
      float b[kLanes];
      float out[kLanes];
      for (int i = 0; i < kLanes; ++i) {
        a[i] = x;
        b[i] = y;
      }
      const Register result = function(load<Register>(a), load<Register>(b));
      std::memcpy(out, &result, sizeof out);
      for (const float got : out) {
        const double off = distance(got, exact(x, y));
        if (off > allowed) {
          std::printf("%s(%g, %g) of %d floats: %g, %g ULP\n", name, x, y, kLanes, got, off);
          ++failures;
          break;
        }
      }
    }
  }
}

}  // namespace

#define ONE(name, suffix, allowed)                                    \
  check<__m256>(#name, Sleef_##name##f8##suffix, ::name##l, allowed); \
  if (wide) check<__m512>(#name, Sleef_##name##f16##suffix, ::name##l, allowed);
#define TWO(name, suffix, allowed)                                    \
  check<__m256>(#name, Sleef_##name##f8##suffix, ::name##l, allowed); \
  if (wide) check<__m512>(#name, Sleef_##name##f16##suffix, ::name##l, allowed);

int main() {
  const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq");
  ONE(exp, _u10, 1)
  ONE(exp2, _u10, 1)
  ONE(expm1, _u10, 1)
  ONE(log, _u10, 1)
  ONE(log2, _u10, 1)
  ONE(log10, _u10, 1)
  ONE(log1p, _u10, 1)
  ONE(sin, _u10, 1)
  ONE(cos, _u10, 1)
  ONE(tan, _u10, 1)
  ONE(asin, _u10, 1)
  ONE(acos, _u10, 1)
  ONE(atan, _u10, 1)
  ONE(sinh, _u10, 1)
  ONE(cosh, _u10, 1)
  ONE(tanh, _u10, 1)
  ONE(asinh, _u10, 1)
  ONE(acosh, _u10, 1)
  ONE(atanh, _u10, 1)
  ONE(erf, _u10, 1)
  ONE(erfc, _u15, 1.5)
  TWO(pow, _u10, 1)
  TWO(atan2, _u10, 1)
  TWO(hypot, _u05, 0.51)
  TWO(fmod, , 0)
  return failures;
}
