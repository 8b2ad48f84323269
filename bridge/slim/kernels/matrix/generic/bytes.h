// Bytes as registers of int32, and back. Included in each set's folder after vectors.h.
//
// By instructions where the compiler would take the bytes one by one; with a mask, as GCC 12 warns of those without.
#pragma once

#ifdef __x86_64__
#include <immintrin.h>

#include <cstdint>

#endif

namespace slim::matrix {
namespace {

typedef int8_t SignedBytes __attribute__((vector_size(kLanes)));
typedef uint8_t UnsignedBytes __attribute__((vector_size(kLanes)));

inline __attribute__((always_inline)) I signed_bytes(const void* from) {
#if AOT_SLIM_BYTES == 64
  return (I)_mm512_maskz_cvtepi8_epi32(0xffff, (__m128i)load<SignedBytes>(from));
#elif AOT_SLIM_BYTES == 32
  return (I)_mm256_cvtepi8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(from)));
#else
  return __builtin_convertvector(load<SignedBytes>(from), I);
#endif
}

inline __attribute__((always_inline)) I unsigned_bytes(const void* from) {
#if AOT_SLIM_BYTES == 64
  return (I)_mm512_maskz_cvtepu8_epi32(0xffff, (__m128i)load<UnsignedBytes>(from));
#elif AOT_SLIM_BYTES == 32
  return (I)_mm256_cvtepu8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(from)));
#else
  return __builtin_convertvector(load<UnsignedBytes>(from), I);
#endif
}

// The lower bytes of numbers that fit.
inline __attribute__((always_inline)) SignedBytes low_bytes(I numbers) {
#if AOT_SLIM_BYTES == 64
  return (SignedBytes)_mm512_maskz_cvtepi32_epi8(0xffff, (__m512i)numbers);
#elif AOT_SLIM_BYTES == 32
  const __m256i lowest =
      _mm256_shuffle_epi8((__m256i)numbers, _mm256_set_epi32(-1, -1, -1, 0x0c080400, -1, -1, -1, 0x0c080400));
  const uint64_t both = static_cast<uint32_t>(_mm256_extract_epi32(lowest, 0)) |
                        static_cast<uint64_t>(static_cast<uint32_t>(_mm256_extract_epi32(lowest, 4))) << 32;
  return (SignedBytes)both;
#else
  return __builtin_convertvector(numbers, SignedBytes);
#endif
}

}  // namespace
}  // namespace slim::matrix
