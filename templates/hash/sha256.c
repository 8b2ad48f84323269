/* SPDX-License-Identifier: Apache-2.0
 *
 * SHA-256 (FIPS 180-4) for the doctor on a target: freestanding, so that it loads into any Python under any libc.
 *
 * The interpreter that travels has no OpenSSL, which would be larger than a small bundle, and its own SHA-256 neither
 * uses the CPU's instructions for it nor lets other threads run meanwhile. This does both, and takes two streams at
 * once: a round waits for the round before it, so that one stream leaves half of the CPU's unit idle. The caller pads.
 */
#include <stddef.h>
#include <stdint.h>

#define EXPORTED __attribute__((visibility("default")))

/* What is hashed: the state after all that came before, and whole blocks of 64 bytes that come now. */
struct stream {
  uint32_t state[8];
  const uint8_t* data;
  size_t blocks;
};

static const uint32_t ROUND[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t x, int count) { return x >> count | x << (32 - count); }

static uint32_t big_endian(const uint8_t* bytes) {
  return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* The variables a to h keep their places; a name moves by one place a round instead. */
static inline __attribute__((always_inline)) void blocks_portably(uint32_t state[8], const uint8_t* data,
                                                                  size_t blocks) {
  for (; blocks > 0; blocks--, data += 64) {
    uint32_t words[16];
    uint32_t v[8];
    for (int i = 0; i < 16; i++) words[i] = big_endian(data + 4 * i);
    for (int i = 0; i < 8; i++) v[i] = state[i];
    for (int round = 0; round < 64; round += 16) {
#pragma GCC unroll 16
      for (int i = 0; i < 16; i++) {
        if (round > 0) {
          uint32_t x = words[(i + 1) & 15];
          uint32_t y = words[(i + 14) & 15];
          words[i] +=
              (rotate(x, 7) ^ rotate(x, 18) ^ x >> 3) + words[(i + 9) & 15] + (rotate(y, 17) ^ rotate(y, 19) ^ y >> 10);
        }
        uint32_t a = v[-i & 7];
        uint32_t b = v[(1 - i) & 7];
        uint32_t c = v[(2 - i) & 7];
        uint32_t e = v[(4 - i) & 7];
        uint32_t f = v[(5 - i) & 7];
        uint32_t g = v[(6 - i) & 7];
        uint32_t sum = v[(7 - i) & 7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + (((f ^ g) & e) ^ g) +
                       ROUND[round + i] + words[i];
        v[(3 - i) & 7] += sum;
        v[(7 - i) & 7] = sum + (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) | ((a | b) & c));
      }
    }
    for (int i = 0; i < 8; i++) state[i] += v[i];
  }
}

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

__attribute__((target("bmi,bmi2"))) static void blocks_by_bmi2(uint32_t state[8], const uint8_t* data, size_t blocks) {
  blocks_portably(state, data, blocks);
}

/* `lanes` streams, one or two, side by side. The instructions want a state as two registers, ABEF and CDGH from their
 * highest word on. Every loop is unrolled, so that the arrays are registers. */
__attribute__((target("sha,sse4.1,ssse3"), always_inline)) static inline void lanes_by_sha(int lanes,
                                                                                           uint32_t* const state[],
                                                                                           const uint8_t* const data[],
                                                                                           size_t blocks) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  __m128i abef[2];
  __m128i cdgh[2];
#pragma GCC unroll 2
  for (int lane = 0; lane < lanes; lane++) {
    __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i*)state[lane]), 0xB1);
    __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i*)(state[lane] + 4)), 0x1B);
    abef[lane] = _mm_alignr_epi8(cdab, efgh, 8);
    cdgh[lane] = _mm_blend_epi16(efgh, cdab, 0xF0);
  }
  for (size_t block = 0; block < blocks; block++) {
    __m128i abef_before[2];
    __m128i cdgh_before[2];
    __m128i words[2][4];
#pragma GCC unroll 2
    for (int lane = 0; lane < lanes; lane++) {
      abef_before[lane] = abef[lane];
      cdgh_before[lane] = cdgh[lane];
#pragma GCC unroll 4
      for (int i = 0; i < 4; i++) {
        words[lane][i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i*)(data[lane] + 64 * block + 16 * i)), swap);
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
#pragma GCC unroll 2
      for (int lane = 0; lane < lanes; lane++) {
        __m128i* w = words[lane];
        __m128i sum = _mm_add_epi32(w[i & 3], _mm_load_si128((const __m128i*)(ROUND + 4 * i)));
        cdgh[lane] = _mm_sha256rnds2_epu32(cdgh[lane], abef[lane], sum);
        abef[lane] = _mm_sha256rnds2_epu32(abef[lane], cdgh[lane], _mm_shuffle_epi32(sum, 0x0E));
        if (i < 12) {
          __m128i next = _mm_sha256msg1_epu32(w[i & 3], w[(i + 1) & 3]);
          next = _mm_add_epi32(next, _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4));
          w[i & 3] = _mm_sha256msg2_epu32(next, w[(i + 3) & 3]);
        }
      }
    }
#pragma GCC unroll 2
    for (int lane = 0; lane < lanes; lane++) {
      abef[lane] = _mm_add_epi32(abef[lane], abef_before[lane]);
      cdgh[lane] = _mm_add_epi32(cdgh[lane], cdgh_before[lane]);
    }
  }
#pragma GCC unroll 2
  for (int lane = 0; lane < lanes; lane++) {
    __m128i feba = _mm_shuffle_epi32(abef[lane], 0x1B);
    __m128i dchg = _mm_shuffle_epi32(cdgh[lane], 0xB1);
    _mm_storeu_si128((__m128i*)state[lane], _mm_blend_epi16(feba, dchg, 0xF0));
    _mm_storeu_si128((__m128i*)(state[lane] + 4), _mm_alignr_epi8(dchg, feba, 8));
  }
}

__attribute__((target("sha,sse4.1,ssse3"))) static void blocks_by_sha(uint32_t state[8], const uint8_t* data,
                                                                      size_t blocks) {
  lanes_by_sha(1, &state, &data, blocks);
}

__attribute__((target("sha,sse4.1,ssse3"))) static void pair_by_sha(struct stream* one, struct stream* other,
                                                                    size_t blocks) {
  uint32_t* const state[] = {one->state, other->state};
  const uint8_t* const data[] = {one->data, other->data};
  lanes_by_sha(2, state, data, blocks);
}

/* Bits of CPUID's leaf 7, register EBX. A CPU with SHA has SSE4.1, and none of these needs the system's support. */
static unsigned features(void) {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  __get_cpuid_count(7, 0, &a, &b, &c, &d);
  return b;
}

#endif

/* Whole blocks of one stream. */
static void take(uint32_t state[8], const uint8_t* data, size_t blocks) {
#if defined(__x86_64__)
  unsigned have = features();
  if (have & bit_SHA) return blocks_by_sha(state, data, blocks);
  if ((have & bit_BMI) && (have & bit_BMI2)) return blocks_by_bmi2(state, data, blocks);
#endif
  blocks_portably(state, data, blocks);
}

/* How many streams this CPU takes in little more than the time of one: 1 or 2. */
EXPORTED int aot_sha256_lanes(void) {
#if defined(__x86_64__)
  if (features() & bit_SHA) return 2;
#endif
  return 1;
}

/* Take the blocks of both streams into their states. They may have different numbers of them; there may be no other. */
EXPORTED void aot_sha256_blocks(struct stream* one, struct stream* other) {
  size_t both = 0;
#if defined(__x86_64__)
  if (other && (features() & bit_SHA)) {
    both = one->blocks < other->blocks ? one->blocks : other->blocks;
    pair_by_sha(one, other, both);
  }
#endif
  take(one->state, one->data + 64 * both, one->blocks - both);
  if (other) take(other->state, other->data + 64 * both, other->blocks - both);
}
