// SPDX-License-Identifier: Apache-2.0
// Calls of torch's ops without the detour through autograd, which a compiled model has no use for.
#pragma once

namespace aot {

/// While one exists, ops that this thread calls go straight to the kernels below autograd, as in torch's
/// AutoDispatchBelowAutograd: each call gets cheaper. Does nothing with a runtime that has no dispatcher. The runtime
/// must be loaded.
class BelowAutograd {
 public:
  BelowAutograd();
  BelowAutograd(const BelowAutograd&) = delete;
  BelowAutograd& operator=(const BelowAutograd&) = delete;
  ~BelowAutograd();

 private:
  unsigned switched_ = 0;  // a bit for each key that was not excluded before
};

}  // namespace aot
