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

/// What this CPU lacks of what oneDNN asks for layers of a type: its instruction set for them with AVX-512, or else
/// `avx2_vnni_2`, of CPUs without AVX-512, which computes both types.
std::vector<std::string> missing_features(const std::vector<std::string>& with_avx512) {
  std::vector<std::string> missing = missing_cpu_features(with_avx512);
  if (missing_cpu_features({"avx_vnni", "avx_vnni_int8", "avx_ne_convert"}).empty()) missing.clear();
  return missing;
}

/// The same of "bfloat16" or "float16", found out once: a model has many layers.
const std::vector<std::string>& missing_for(const std::string& type) {
  static const std::vector<std::string> for_float16 = missing_features({"avx512_fp16"});
  static const std::vector<std::string> for_bfloat16 = missing_features({"avx512bw", "avx512dq", "avx512vl"});
  return type == "float16" ? for_float16 : for_bfloat16;
}

std::string obstacle_of(const Metadata& metadata, const ConstantSpec& constant) {
  if (constant.layout < 0) return "";
  const std::string type = half_of(metadata.layouts[static_cast<size_t>(constant.layout)]);
  if (type.empty() || missing_for(type).empty()) return "";
  return concat({"has layers of ", type,
                 ", for which libtorch needs CPU features that this machine lacks: ", join(missing_for(type))});
}

}  // namespace

std::string halves_obstacle(const Metadata& metadata, const Variant& form) {
  // A form in a folder of its own has its constants described there.
  if (Runtime::is_slim() || form.device != "cpu" || form.folder != metadata.folder) return "";
  const size_t count = form.has_constants ? form.constants.size() : metadata.constants.size();
  for (size_t i = 0; i < count; ++i) {
    const size_t index = form.has_constants ? form.constants[i] : i;
    std::string obstacle = obstacle_of(metadata, metadata.constants[index]);
    if (!obstacle.empty()) return obstacle;
  }
  return "";
}

void check_halves(const Package& package) {
  const std::string obstacle = halves_obstacle(package.metadata, package.metadata.form());
  if (obstacle.empty()) return;
  throw Error(AOT_MACHINE_MISMATCH, {package.path, " ", obstacle},
              {"They were exported on a CPU that has them (this one is: ", cpu_brand(), ")."},
              {"Build it with --runtime slim, which computes them on every CPU, export the model in float32, or run it "
               "on a newer CPU."});
}

}  // namespace aot
