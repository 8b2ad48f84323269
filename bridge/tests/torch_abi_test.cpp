// SPDX-License-Identifier: Apache-2.0
// Torch's declarations of its C interface and the bridge's: a difference between them is a compile error.
#include <torch/csrc/inductor/aoti_runtime/interface.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>

#include "base/torch_abi.h"
#include "check.h"

TEST(success_is_zero) {
  CHECK_EQUAL(AOTI_RUNTIME_SUCCESS, 0);
  CHECK_EQUAL(AOTI_TORCH_SUCCESS, 0);
}
