// SPDX-License-Identifier: Apache-2.0
// Calls of a real model through the C API, for programs that check what many of them do.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "aot_bridge.h"

namespace calls {

/// Inputs of a model with their memory: sizes are `size` where the model allows it, else the nearest that it does.
class Inputs {
 public:
  Inputs(const aot_model* model, int64_t size);
  const std::vector<aot_view>& views() const { return views_; }

 private:
  std::vector<std::vector<int64_t>> shapes_;
  std::vector<std::vector<unsigned char>> bytes_;
  std::vector<aot_view> views_;
};

/// Its outputs as aot_model_run leaves them: all or none.
struct Outputs {
  aot_status status;
  std::vector<aot_tensor*> tensors;
};
Outputs run(aot_model* model, const Inputs& inputs);

/// The elements of an output.
std::string bytes_of(const aot_tensor* tensor);

/// nullptr, or what was loaded.
aot_model* load(const char* path, uint32_t runners);

}  // namespace calls
