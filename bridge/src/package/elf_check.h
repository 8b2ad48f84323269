// SPDX-License-Identifier: Apache-2.0
// What can be told of a shared library before the loader gets it. The loader believes a library's headers: of one that
// is truncated it maps what is not there, and the process dies of SIGBUS.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace aot {

/// Throws AOT_DAMAGED when the bytes are no whole ELF shared library, AOT_MODEL_MISMATCH when it is code for another
/// machine.
void check_library(const uint8_t* data, size_t size, const std::string& where);

}  // namespace aot
