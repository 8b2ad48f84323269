// SPDX-License-Identifier: Apache-2.0
// Weights in the order that oneDNN, inside libtorch, chooses for them on this CPU: by libtorch's own ops, as at export.
#pragma once

#include <string>

#include "package/metadata.h"
#include "package/prepared.h"
#include "runtime/tensor.h"

namespace aot {

/// Whether this libtorch's ops can be called by their names: since torch 2.10.
bool can_pack();

/// A convolution's weight, which is plain, as this CPU reads it fastest. Throws AOT_FAILED when libtorch refuses.
TensorHandle pack(TensorHandle plain, const Convolution& convolution);

/// What a packed weight is in memory; valid as long as it.
PackedWeight packed_bytes(const TensorHandle& packed);

/// The version of libtorch, such as "2.13.0".
std::string libtorch_version();

}  // namespace aot
