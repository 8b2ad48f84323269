// Between float32 and numbers of two bytes.
#pragma once

#include <cstdint>

#include "product.h"

namespace slim::matrix {

enum class Half { kBfloat16, kFloat16 };

// Exact.
void widen(Half type, const void* from, int64_t count, float* to, Isa isa = best_isa());

// To the nearest, and of two the even one. NaN becomes 0x7fc0 in bfloat16, 0x7e00 with its sign in float16, as in
// torch.
void narrow(Half type, const float* from, int64_t count, void* to, Isa isa = best_isa());

}  // namespace slim::matrix
