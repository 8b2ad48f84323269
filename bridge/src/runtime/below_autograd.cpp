// SPDX-License-Identifier: Apache-2.0
// torch's C interface has no such switch, so its C++ functions are taken by their names. A torch that names them
// otherwise runs the same models, a little slower.
#include "runtime/below_autograd.h"

#include <dlfcn.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace aot {
namespace {

/// Of the tensors that a model may meet, nested ones inside of attention ops.
constexpr const char* kKeys[] = {"AutogradCPU", "AutogradCUDA", "AutogradOther", "AutogradNestedTensor"};
constexpr size_t kKeyCount = sizeof kKeys / sizeof *kKeys;

struct Dispatcher {
  using Key = uint16_t;  // c10::DispatchKey; its values differ between versions

  Dispatcher() {
    Key (*parse)(const std::string&) = nullptr;
    if (!find("_ZN3c1016parseDispatchKeyERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE", parse) ||
        !find("_ZN3c104impl28tls_is_dispatch_key_excludedENS_11DispatchKeyE", is_excluded) ||
        !find("_ZN3c104impl29tls_set_dispatch_key_excludedENS_11DispatchKeyEb", set_excluded)) {
      return;
    }
    for (const char* name : kKeys) {
      try {
        keys[count] = parse(name);
        ++count;
      } catch (...) {  // a torch without this key
        continue;
      }
    }
  }

  template <class Function>
  static bool find(const char* name, Function& function) {
    function = reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
    return function != nullptr;
  }

  bool (*is_excluded)(Key) = nullptr;
  void (*set_excluded)(Key, bool) = nullptr;
  Key keys[kKeyCount] = {};
  size_t count = 0;
};

const Dispatcher& dispatcher() {
  static const Dispatcher found;
  return found;
}

}  // namespace

BelowAutograd::BelowAutograd() {
  const Dispatcher& torch = dispatcher();
  for (size_t i = 0; i < torch.count; ++i) {
    if (torch.is_excluded(torch.keys[i])) continue;
    torch.set_excluded(torch.keys[i], true);
    switched_ |= 1U << i;
  }
}

BelowAutograd::~BelowAutograd() {
  const Dispatcher& torch = dispatcher();
  for (size_t i = 0; i < torch.count; ++i) {
    if ((switched_ >> i & 1U) != 0) torch.set_excluded(torch.keys[i], false);
  }
}

}  // namespace aot
