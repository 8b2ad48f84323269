// SPDX-License-Identifier: Apache-2.0
// Runs the ops that have no C shim, through libaot_proxy.so.
#pragma once

#include <string>

#include "base/library.h"
#include "device/device.h"
#include "package/package.h"
#include "proxy.h"
#include "tensor.h"

namespace aot {

/// Throws AOT_MODEL_MISMATCH for a package with ops that have no C shim: what a runtime without libtorch says of it.
void refuse_without_libtorch(const Package& package);

class ProxyExecutor {
 public:
  /// An executor that runs nothing.
  ProxyExecutor() = default;

  /// One for the package's ops; runs nothing when it has none. The runtime must be loaded. Throws AOT_MODEL_MISMATCH
  /// when the bundle has no libaot_proxy.so, AOT_FAILED when libtorch does not know the ops.
  ProxyExecutor(Package& package, const Device& device);
  ProxyExecutor(const ProxyExecutor&) = delete;
  ProxyExecutor& operator=(const ProxyExecutor&) = delete;
  ~ProxyExecutor();

  /// For AOTInductorModelContainerRun; null when there is nothing to run.
  void* handle() const { return handle_; }

  /// The tensor without a conjugation or a negation that is still to be done, which only ops of these leave to their
  /// readers: itself, or a copy. Throws AOT_FAILED.
  TensorHandle resolve(TensorHandle tensor) const;

 private:
  Library library_;
  decltype(&aot_proxy_delete) delete_ = nullptr;
  decltype(&aot_proxy_resolve) resolve_ = nullptr;
  aot_proxy* proxy_ = nullptr;
  void* handle_ = nullptr;
};

}  // namespace aot
