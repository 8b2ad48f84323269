// SPDX-License-Identifier: Apache-2.0
// What a model's description says of its inputs and outputs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "aot_bridge.h"
#include "base/dtype.h"

namespace aot {

/// One dim of a tensor. `min == max` when fixed; both -1 when known only after the run.
struct Dim {
  int64_t min = 0;
  int64_t max = 0;
  std::string symbol;  // empty unless dynamic
  // A derived size: `factor` times the size of the symbol `of`, plus `offset`; `symbol` is that as text.
  std::string of = {};
  int64_t factor = 1;
  int64_t offset = 0;
};

struct TensorSpec {
  std::string name;
  Dtype dtype = Dtype::Float32;
  std::vector<Dim> dims;
  int32_t mutation = AOT_MUTATION_UNKNOWN;  // of an input
};

}  // namespace aot
