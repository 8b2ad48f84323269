// SPDX-License-Identifier: Apache-2.0
// Layers of 16 bits whose weights were packed for oneDNN at export: libtorch has nothing else for them, and oneDNN
// computes them only on CPUs with instructions for it.
#pragma once

#include <string>

#include "package/package.h"

namespace aot {

/// Why libtorch cannot compute such layers of a model's form here, "has layers of bfloat16, for which ...": empty where
/// it can. The slim runtime computes them on every CPU.
std::string halves_obstacle(const Metadata& metadata, const Variant& form);

/// Throws AOT_MACHINE_MISMATCH where there is such an obstacle.
void check_halves(const Package& package);

}  // namespace aot
