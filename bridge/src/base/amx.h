// SPDX-License-Identifier: Apache-2.0
// The tile registers of AMX. They are so large that Linux gives them to processes that ask alone; the first instruction
// of one that did not ends in SIGILL. Generated code does not ask.
#pragma once

#include <string>
#include <vector>

namespace aot {

/// Whether code for these CPU features uses them, whatever the spelling: "amx_bf16", "AMX_TILE", "amx-int8".
bool uses_tiles(const std::vector<std::string>& features);

/// Gets the kernel's permission for this process, and its threads and children. Returns 0, or the errno it refuses
/// with.
int ask_for_tiles();

/// Throws AOT_MACHINE_MISMATCH where `refusal`, an errno, is not 0. `who` needs the tiles.
void check_tiles(const std::string& who, int refusal);

}  // namespace aot
