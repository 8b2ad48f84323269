// SPDX-License-Identifier: Apache-2.0
#include "runtime/libtorch_cpu.h"

#include <dlfcn.h>

namespace aot {

std::string libtorch_cpu_kind() {
  // torch's C interface does not tell, so its C++ function is taken by its name.
  using Ask = std::string (*)();
  const auto ask = reinterpret_cast<Ask>(dlsym(RTLD_DEFAULT, "_ZN2at18get_cpu_capabilityB5cxx11Ev"));
  return ask != nullptr ? ask() : std::string();
}

}  // namespace aot
