// SPDX-License-Identifier: Apache-2.0
// Torch's declarations of a model's C functions and the bridge's: a difference between them is a compile error.
#include <torch/csrc/inductor/aoti_runtime/interface.h>

#include "check.h"
#include "model_abi.h"

TEST(success_is_zero) { CHECK_EQUAL(AOTI_RUNTIME_SUCCESS, 0); }
