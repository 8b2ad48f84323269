// SPDX-License-Identifier: Apache-2.0
#include "model/threads.h"

#include <dlfcn.h>

namespace aot {

void use_threads(int count) {
  static thread_local int current = 0;
  if (count == 0 || count == current) return;
  // From the OpenMP library that the runtime brought along; there is none to set when the runtime works without.
  auto* set = reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
  if (set != nullptr) set(count);
  current = count;
}

}  // namespace aot
