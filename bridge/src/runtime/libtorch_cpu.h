// SPDX-License-Identifier: Apache-2.0
// What libtorch takes this CPU for. Weights that were packed for another kind are no good to it, or cost time.
#pragma once

#include <string>

namespace aot {

/// "AVX512", "AVX2" or "DEFAULT", as `torch.backends.cpu.get_cpu_capability()` calls them; ATEN_CPU_CAPABILITY lowers
/// it. Empty when libtorch does not say. libtorch is loaded.
std::string libtorch_cpu_kind();

}  // namespace aot
