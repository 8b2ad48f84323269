// Registers of 32 bytes, sixteen of them, and fused multiplication.
#define AOT_SLIM_BYTES 32

// clang-format off
#include "../generic/vectors.h"
#include "../generic/tile.h"
// clang-format on

#include "../generic/float32.h"
#include "../generic/functions.h"
#include "../generic/pack.h"

namespace slim::matrix {

const Kernels kAvx2 = {Tiles<Float32, 6, 16>::table(), finish, pack_rows};

}  // namespace slim::matrix
