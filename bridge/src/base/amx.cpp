// SPDX-License-Identifier: Apache-2.0
#include "base/amx.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/text.h"

namespace aot {

bool uses_tiles(const std::vector<std::string>& features) {
  for (const std::string& feature : features) {
    if (starts_with(feature, "amx") || starts_with(feature, "AMX")) return true;
  }
  return false;
}

int ask_for_tiles() {
#if defined(__x86_64__)
  // Documentation/arch/x86/xstate.rst; older headers of the kernel do not have the names.
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr int kTileData = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0 ? 0 : errno;
#else
  return ENOSYS;
#endif
}

void check_tiles(const std::string& who, int refusal) {
  if (refusal == 0) return;
  // A thread's own stack for signals must have room for the registers.
  const bool is_stack = refusal == ENOSPC;
  throw Error(
      AOT_MACHINE_MISMATCH,
      {who, " uses AMX, and the kernel refuses this process its registers: ", std::strerror(refusal)},
      {is_stack ? "A thread of this process has a stack for signals (sigaltstack) that is too small for them."
                : "The kernel is older than Linux 5.16, or a sandbox (seccomp, gVisor) keeps the question from it."},
      {is_stack ? "Give such stacks getauxval(AT_MINSIGSTKSZ) bytes more."
                : "Run it outside of the sandbox or on a newer kernel, or export it again with --cpu-isa avx512."});
}

}  // namespace aot
