// SPDX-License-Identifier: Apache-2.0
// Layers of 16 bits whose weights were packed for oneDNN at export: libtorch has nothing else for them, and oneDNN
// computes them only on CPUs with instructions for it.
#pragma once

#include "package/package.h"

namespace aot {

/// Throws AOT_MACHINE_MISMATCH where libtorch cannot compute such layers of a model here. The runtime is loaded; the
/// slim one computes them on every CPU.
void check_halves(const Package& package);

}  // namespace aot
