// SPDX-License-Identifier: Apache-2.0
#include "api/build_info.h"

#include <torch/version.h>

#include <string>
#include <vector>

#include "aot_bridge.h"
#include "base/cpu_features.h"
#include "base/text.h"
#include "device/device_gpu.h"
#include "package/json.h"
#include "runtime/runtime.h"

namespace aot {

const char* build_info() noexcept {
  try {
    static const std::string text = [] {
      std::vector<std::string> backends = {"cpu"};
      if (*gpu_backend() != '\0') backends.push_back(gpu_backend());
      return concat({"{\"schema\": 1, \"api_version\": ", AOT_API_VERSION, ", \"compiler\": ", json_quote(AOT_COMPILER),
                     ", \"torch_version\": ", json_quote(TORCH_VERSION), ", \"backends\": ", json_quote(backends),
                     ", \"runtime\": ", json_quote(Runtime::library_name()), ", \"machine\": ", json_quote(machine()),
                     ", \"cpu\": ", json_quote(cpu_brand()), ", \"cpu_features\": ", json_quote(cpu_features()), "}"});
    }();
    return text.c_str();
  } catch (...) {
    return "{}";
  }
}

}  // namespace aot
