// SPDX-License-Identifier: Apache-2.0
// What this CPU, as the process sees it, can do. Asked of the CPU itself, since an emulator or a hypervisor hides
// features from CPUID that /proc/cpuinfo of the host still lists.
#pragma once

#include <string>
#include <vector>

namespace aot {

/// Lower-case names of the features that the CPU has and the kernel enables, most wanted first. Empty on machines other
/// than x86.
const std::vector<std::string>& cpu_features();

/// Those of `wanted` that this CPU lacks. "avx512_vnni" and "avx512vnni" are the same name.
std::vector<std::string> missing_cpu_features(const std::vector<std::string>& wanted);

/// Such as "Intel(R) Xeon(R) Platinum 8488C"; the machine type when the CPU does not say.
std::string cpu_brand();

/// uname's machine type of this build, such as "x86_64".
const char* machine();

}  // namespace aot
