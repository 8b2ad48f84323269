// SPDX-License-Identifier: Apache-2.0
// The C library of this process.
#pragma once

#include <string>

namespace aot {

/// Such as "2.36"; empty when it is not glibc.
std::string libc_version();

/// Whether version `left` is older than `right`, number by number: "2.9" is older than "2.34".
bool is_older(const std::string& left, const std::string& right);

}  // namespace aot
