// SPDX-License-Identifier: Apache-2.0
// AOT_DEBUG=1: what goes in, what comes out, and how long it took, on standard error.
#pragma once

#include <string>

#include "aot_bridge.h"
#include "device/device.h"

namespace aot {

/// Whether AOT_DEBUG is set to something other than "0"; asked of the environment once.
bool is_debugging();

/// Prints one line.
void debug_line(const std::string& text);

/// Prints one line about a tensor wherever its memory is; `label` says what it is, such as "input x". An unknown dtype
/// is printed as such.
void debug_tensor(const std::string& label, const aot_view& view);

/// "float32 [8, 64] strides [64, 1] on cpu: min -3.1 max 3.0 mean 0.02, 0 NaN, 0 inf" of a tensor in host memory.
/// Minimum, maximum and mean leave NaN and infinities out; those of complex numbers are of their magnitudes.
std::string describe(const aot_view& view);

}  // namespace aot
