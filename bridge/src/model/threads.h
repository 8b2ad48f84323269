// SPDX-License-Identifier: Apache-2.0
// The size of the CPU thread pool.
#pragma once

namespace aot {

/// Makes parallel regions that the calling thread starts use `count` threads; 0 leaves everything as it is. OpenMP
/// keeps this number for each thread, so it is set on every thread that runs a model. The runtime must be loaded.
void use_threads(int count);

}  // namespace aot
