// Registers of 32 bytes, sixteen of them, and fused multiplication.
#define AOT_SLIM_BYTES 32

#include <immintrin.h>

// clang-format off
#include "../generic/vectors.h"
#include "../generic/tile.h"
// clang-format on

// clang-format off
#include "../generic/elements.h"
#include "../generic/functions.h"
#include "../generic/depthwise.h"
#include "../generic/halves.h"
#include "../generic/narrow.h"
#include "../generic/pack.h"
#include "../generic/recurrent.h"
#include "../generic/stream.h"
// clang-format on

namespace slim::matrix {
namespace {

// Pairs of neighbouring int16 are multiplied and added at once: the numbers at even and at odd places of a word.
struct Pairs {
  using Sum = I;
  static constexpr int kParts = 2;
  static I add(I sum, U left, U right) {
    const I even = madd((S)(left & 0x00ff00ff), (S)((T)right << 8) >> 8);
    const I odd = madd((S)((T)left >> 8), (S)right >> 8);
    return sum + (even + odd);
  }
  static I madd(S a, S b) { return (I)_mm256_madd_epi16((__m256i)a, (__m256i)b); }
};

}  // namespace

const Kernels kAvx2 = {Tiles<Float32, 6, 16, true>::table(),
                       Tiles<Bfloat16, 4, 16>::table(),
                       Tiles<Pairs, 4, 16>::table(),
                       finish,
                       pack_rows,
                       widen,
                       narrow,
                       add_products,
                       stream_int8,
                       stream_int4,
                       expand_int8,
                       expand_int4,
                       gather_rows,
                       depthwise,
                       lstm_cell,
                       has_nan,
                       kBrainFloats,
                       kHalfFloats};

}  // namespace slim::matrix
