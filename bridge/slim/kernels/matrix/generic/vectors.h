// Registers of one instruction set, as the compiler's vector types. Included once in each file of a set's folder.
//
// Before including, define AOT_SLIM_BYTES, the bytes of a register: 16, 32 or 64. Everything here has internal linkage:
// a function shared with a file compiled for lesser machines could be the one the linker keeps. For the same reason
// these files use nothing of the standard library that is a template.
#pragma once

#include <stdint.h>

#define AOT_SLIM_UNROLL _Pragma("GCC unroll 32")

namespace slim::matrix {
namespace {

constexpr int kLanes = AOT_SLIM_BYTES / 4;
constexpr int kRegisters = 16 / kLanes;  // in a row of a panel

typedef float F __attribute__((vector_size(AOT_SLIM_BYTES)));
typedef int32_t I __attribute__((vector_size(AOT_SLIM_BYTES)));
typedef uint32_t U __attribute__((vector_size(AOT_SLIM_BYTES)));
typedef int16_t S __attribute__((vector_size(AOT_SLIM_BYTES)));
typedef uint16_t T __attribute__((vector_size(AOT_SLIM_BYTES)));

template <class Vector>
inline __attribute__((always_inline)) Vector load(const void* from) {
  Vector value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}
template <class Vector>
inline __attribute__((always_inline)) void store(void* to, Vector value) {
  __builtin_memcpy(to, &value, sizeof value);
}
inline __attribute__((always_inline)) F all(float value) { return F{} + value; }

inline float sum_of(F x) {
  float sum = 0;
  for (int i = 0; i < kLanes; ++i) sum += x[i];
  return sum;
}

}  // namespace
}  // namespace slim::matrix
