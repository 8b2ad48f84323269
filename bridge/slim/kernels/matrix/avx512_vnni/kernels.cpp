// AVX-512 with instructions for bytes.
#define AOT_SLIM_BYTES 64

#include <immintrin.h>

// clang-format off
#include "../generic/vectors.h"
#include "../generic/tile.h"
// clang-format on

namespace slim::matrix {
namespace {

// Four products a lane at once.
struct Quads {
  using Sum = I;
  static constexpr int kParts = 1;
  static I add(I sum, U left, U right) { return (I)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)left, (__m512i)right); }
};

}  // namespace

const TileTable kAvx512Bytes = Tiles<Quads, 6, 32>::table();

}  // namespace slim::matrix
