// AVX-512 with instructions for bfloat16.
#define AOT_SLIM_BYTES 64

#include <immintrin.h>

// clang-format off
#include "../generic/vectors.h"
#include "../generic/tile.h"
// clang-format on

namespace slim::matrix {
namespace {

// Two products a lane at once.
struct Halves {
  using Sum = F;
  static constexpr int kParts = 1;
  static F add(F sum, U left, U right) { return (F)_mm512_dpbf16_ps((__m512)sum, (__m512bh)left, (__m512bh)right); }
};

}  // namespace

const TileTable kAvx512Bfloat16 = Tiles<Halves, 6, 32>::table();

}  // namespace slim::matrix
