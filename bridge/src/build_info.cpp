// SPDX-License-Identifier: Apache-2.0
#include "build_info.h"

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/version.h>

#include <nlohmann/json.hpp>
#include <string>

#include "aot_bridge.h"
#include "cpu_features.h"
#include "device_gpu.h"
#include "runtime.h"

namespace aot {

const char* build_info() noexcept {
  try {
    static const std::string text = [] {
      nlohmann::json backends = {"cpu"};
      if (*gpu_backend() != '\0') backends.push_back(gpu_backend());
      return nlohmann::json{
          {"schema", 1},
          {"api_version", AOT_API_VERSION},
          {"compiler", AOT_COMPILER},
          {"torch_version", TORCH_VERSION},
          {"backends", std::move(backends)},
          {"runtime", Runtime::library_name()},
          {"machine", machine()},
          {"cpu", cpu_brand()},
          {"cpu_features", cpu_features()},
      }.dump();
    }();
    return text.c_str();
  } catch (...) {
    return "{}";
  }
}

}  // namespace aot
