// Who serves what: the kernels of each instruction set.
#pragma once

#include "kernels.h"

namespace slim::matrix {

inline constexpr Isa kSets[] = {Isa::kBaseline, Isa::kAvx2, Isa::kAvx512, Isa::kAmx};

const char* name_of(Isa isa);

const Kernels& kernels_of(Isa isa);

}  // namespace slim::matrix
