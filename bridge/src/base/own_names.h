// SPDX-License-Identifier: Apache-2.0
// The slim runtime's functions have names of their own, each as long as that of torch's or libgomp's function whose
// place it takes: a process may hold those too, and the loader takes whose it finds first. In a bundle, models have
// them already (toolchain/aotpack/runtime/slim_table.py); here a package as torch made it gets them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace aot {

/// "slim_torch_get_sizes" of "aoti_torch_get_sizes"; other names stay what they are.
std::string own_name(std::string name);

/// The reverse, for messages.
std::string torch_name(std::string name);

/// Renames all that an ELF library imports, in its image in memory. The image has passed check_library().
void use_own_names(uint8_t* image, size_t size);

}  // namespace aot
