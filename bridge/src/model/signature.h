// SPDX-License-Identifier: Apache-2.0
// Inputs against the model's signature, before the model sees them.
#pragma once

#include <cstddef>
#include <vector>

#include "aot_bridge.h"
#include "package/guard.h"
#include "package/tensor_spec.h"

namespace aot {

/// Checks one input by itself: dtype known, shape and strides sane, memory there. Throws AOT_USAGE. `name` is for the
/// message.
void check_view(const aot_view& view, const char* name);

/// Checks all inputs of a call against the specs: count, dtype, rank, sizes, ranges, and dims of one symbol against
/// each other. Every view must have passed check_view(). Throws AOT_USAGE.
void check_signature(const std::vector<TensorSpec>& specs, const aot_view* inputs, size_t count);

/// Checks what no range says. The inputs must have passed check_signature(). Throws AOT_USAGE.
void check_guards(const std::vector<Guard>& guards, const std::vector<TensorSpec>& specs, const aot_view* inputs);

}  // namespace aot
