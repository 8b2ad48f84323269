// Registers of 16 bytes, as every x86-64 and aarch64 machine has them.
#define AOT_SLIM_BYTES 16

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

#ifdef __aarch64__
constexpr int kRows = 6;
constexpr int kHalfRows = 4;
constexpr int kAll = 32;
#else
constexpr int kRows = 3;
constexpr int kHalfRows = 2;
constexpr int kAll = 18;  // some are operands from memory
#endif

}  // namespace

const Kernels kBaseline = {Tiles<Float32, kRows, kAll>::table(),
                           Tiles<Bfloat16, kHalfRows, kAll>::table(),
                           Tiles<Words, 1, kAll>::table(),
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
