// SPDX-License-Identifier: Apache-2.0
// Prints every op that libtorch knows, with a 1 or 0 for each kind of tensor that a compiled model may hand to it.
#include <ATen/core/dispatch/Dispatcher.h>

#include <iostream>

int main() {
  using c10::DispatchKey;
  constexpr DispatchKey kKeys[] = {
      DispatchKey::CPU,          DispatchKey::AutogradCPU, DispatchKey::Meta,          DispatchKey::MkldnnCPU,
      DispatchKey::QuantizedCPU, DispatchKey::SparseCPU,   DispatchKey::SparseCsrCPU,  DispatchKey::NestedTensorCPU,
      DispatchKey::Conjugate,    DispatchKey::Negative,    DispatchKey::BackendSelect,
  };
  auto& dispatcher = c10::Dispatcher::singleton();
  for (const c10::OperatorName& name : dispatcher.getAllOpNames()) {
    const auto op = dispatcher.findOp(name);
    std::cout << name << ' ' << op->hasSchema();
    for (const DispatchKey key : kKeys) std::cout << op->hasComputedKernelForDispatchKey(key);
    std::cout << '\n';
  }
  return 0;
}
