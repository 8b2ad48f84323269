// SPDX-License-Identifier: Apache-2.0
// Weights of four bits lie in the order that libtorch's kernel of one kind of CPU reads (AVX-512's takes blocks of 64
// columns, AVX2's of 32), and libtorch does not look at what it is given.
#pragma once

#include "package/package.h"

namespace aot {

/// Throws AOT_MACHINE_MISMATCH where libtorch would read a model's weights of four bits in another order than they lie
/// in, and AOT_MODEL_MISMATCH where the slim runtime would, which reads AVX-512's on every CPU. The runtime is loaded.
void check_int4_order(const Package& package);

}  // namespace aot
