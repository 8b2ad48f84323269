// Registers of 64 bytes, thirty-two of them.
#define AOT_SLIM_BYTES 64

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

// The tables of the other numbers are those of smaller registers where there are no instructions for them (table.cpp).
const Kernels kAvx512 = {Tiles<Float32, 14, 32, true>::table(),
                         {},
                         {},
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
