// Between float32 and numbers of two bytes. Included in each set's folder after vectors.h.
#pragma once

#include "../kernels.h"

#ifdef __x86_64__
#include <immintrin.h>

#include <cstdint>

#endif

namespace slim::matrix {
namespace {

typedef uint16_t Shorts __attribute__((vector_size(2 * kLanes)));

// By instructions where the compiler would take them one by one, as in bytes.h.
inline __attribute__((always_inline)) U load_shorts(const uint16_t* from) {
#if AOT_SLIM_BYTES == 64
  return (U)_mm512_maskz_cvtepu16_epi32(0xffff, (__m256i)load<Shorts>(from));
#elif AOT_SLIM_BYTES == 32
  return (U)_mm256_cvtepu16_epi32((__m128i)load<Shorts>(from));
#else
  return __builtin_convertvector(load<Shorts>(from), U);
#endif
}
inline __attribute__((always_inline)) Shorts low_shorts(U numbers) {
#if AOT_SLIM_BYTES == 64
  return (Shorts)_mm512_maskz_cvtepi32_epi16(0xffff, (__m512i)numbers);
#elif AOT_SLIM_BYTES == 32
  const __m256i both = _mm256_packus_epi32((__m256i)numbers, (__m256i)numbers);
  return (Shorts)_mm256_castsi256_si128(_mm256_permute4x64_epi64(both, 0x08));
#else
  return __builtin_convertvector(numbers, Shorts);
#endif
}

constexpr uint32_t kInfinite = 0x7f800000;

struct BrainFloat {
  static U widened(U bits) { return bits << 16; }
  static U narrowed(U bits) {
    const U rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    return (bits & 0x7fffffff) > kInfinite ? U{} + 0x7fc0 : rounded;
  }
};

struct HalfFloat {
  // 2^-1 as float32, whose last bit is worth as much as that of the least float16, 2^-24.
  static constexpr uint32_t kOneHalf = 0x3f000000;
  static constexpr uint32_t kExponents = (127 - 15) << 23;  // what exponents of float32 begin later by

  static U widened(U bits) {
    const U size = bits & 0x7fff;
    const U small = (U)((F)(size + kOneHalf) - 0.5F);
    const U usual = (size << 13) + kExponents;
    const U special = (size << 13) | kInfinite;
    const U found = size < 0x400 ? small : (size < 0x7c00 ? usual : special);
    return found | (bits & 0x8000) << 16;
  }
  static U narrowed(U bits) {
    const U size = bits & 0x7fffffff;
    const U small = (U)((F)size + 0.5F) - kOneHalf;
    const U usual = (size + 0xfff + ((size >> 13) & 1) - kExponents) >> 13;
    const U special = size > kInfinite ? U{} + 0x7e00 : U{} + 0x7c00;
    const U found = size < 0x38800000 ? small : (size < 0x47800000 ? usual : special);  // from 2^-14, to 2^16
    return found | (bits >> 31) << 15;
  }
};

template <class Type>
void widen_halves(const uint16_t* from, int64_t count, float* to) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(to + i, Type::widened(load_shorts(from + i)));
  if (i == count) return;
  uint16_t some[kLanes] = {};
  for (int64_t j = 0; i + j < count; ++j) some[j] = from[i + j];
  float wide[kLanes];
  store(wide, Type::widened(load_shorts(some)));
  for (int64_t j = 0; i + j < count; ++j) to[i + j] = wide[j];
}

template <class Type>
void narrow_to_halves(const float* from, int64_t count, uint16_t* to) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(to + i, low_shorts(Type::narrowed(load<U>(from + i))));
  if (i == count) return;
  float some[kLanes] = {};
  for (int64_t j = 0; i + j < count; ++j) some[j] = from[i + j];
  uint16_t narrow[kLanes];
  store(narrow, low_shorts(Type::narrowed(load<U>(some))));
  for (int64_t j = 0; i + j < count; ++j) to[i + j] = narrow[j];
}

// A panel of pairs, [depth / 2][16][2], as one of float32, [depth][16].
template <class Type>
void expand_pairs(const uint32_t* pairs, int64_t depth, float* to) {
  for (int64_t k = 0; k < depth; k += 2, pairs += kPanel) {
    for (int v = 0; v < kPanel; v += kLanes) {
      const U both = load<U>(pairs + v);
      store(to + k * kPanel + v, Type::widened(both & 0xffff));
      if (k + 1 < depth) store(to + (k + 1) * kPanel + v, Type::widened(both >> 16));
    }
  }
}

constexpr HalfFunctions kBrainFloats = {widen_halves<BrainFloat>, narrow_to_halves<BrainFloat>,
                                        expand_pairs<BrainFloat>};
constexpr HalfFunctions kHalfFloats = {widen_halves<HalfFloat>, narrow_to_halves<HalfFloat>, expand_pairs<HalfFloat>};

}  // namespace
}  // namespace slim::matrix
