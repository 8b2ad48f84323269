// SPDX-License-Identifier: Apache-2.0
#include "model/halves.h"

#include <string>
#include <vector>

#include "base/cpu_features.h"
#include "base/error.h"
#include "base/text.h"
#include "package/packed_layout.h"
#include "runtime/runtime.h"

namespace aot {
namespace {

/// What oneDNN asks of a CPU for layers of a type, by its instruction sets `avx512_core` and `avx512_core_fp16`.
std::vector<std::string> wanted_by_onednn(const std::string& type) {
  if (type == "float16") return {"avx512_fp16"};
  return {"avx512bw", "avx512dq", "avx512vl"};
}

/// Its `avx2_vnni_2`, of CPUs without AVX-512, computes both.
bool has_both() { return missing_cpu_features({"avx_vnni", "avx_vnni_int8", "avx_ne_convert"}).empty(); }

}  // namespace

void check_halves(const Package& package) {
  if (Runtime::is_slim() || package.metadata.device != "cpu") return;
  for (const ConstantSpec& constant : package.metadata.constants) {
    if (constant.layout < 0) continue;
    const std::string type = half_of(package.metadata.layouts[static_cast<size_t>(constant.layout)]);
    if (type.empty()) continue;
    const std::vector<std::string> missing = missing_cpu_features(wanted_by_onednn(type));
    if (missing.empty() || has_both()) continue;
    throw Error(AOT_MACHINE_MISMATCH,
                {package.path, " has layers of ", type,
                 ", for which libtorch needs CPU features that this machine lacks: ", join(missing)},
                {"They were exported on a CPU that has them (this one is: ", cpu_brand(), ")."},
                {"Build it with --runtime slim, which computes them on every CPU, or run it on a newer CPU."});
  }
}

}  // namespace aot
