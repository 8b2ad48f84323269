// SPDX-License-Identifier: Apache-2.0
// libtorch keeps the class of its proxy executor to itself, but its model runner makes one from the .json file beside a
// model's library. So a runner is made whose model is this very library, with the functions of nothing.cpp, and its
// executor is lent to the real model.
#include "proxy.h"

#include <torch/csrc/inductor/aoti_runner/model_container_runner.h>

#include <cstdio>
#include <exception>

struct aot_proxy final : torch::inductor::AOTIModelContainerRunner {
  aot_proxy(const char* library, const char* device)
      : AOTIModelContainerRunner(library, /*num_models=*/1, device, /*cubin_dir=*/"", /*run_single_threaded=*/false) {}

  void* executor() const { return proxy_executor_handle_; }
};

aot_proxy* aot_proxy_create(const char* library, const char* device, char* error, size_t error_size) {
  try {
    auto* proxy = new aot_proxy(library, device);
    if (proxy->executor() != nullptr) return proxy;
    delete proxy;
    std::snprintf(error, error_size, "libtorch made no proxy executor for %s", library);
  } catch (const std::exception& exception) {
    std::snprintf(error, error_size, "%s", exception.what());
  } catch (...) {
    std::snprintf(error, error_size, "unknown exception");
  }
  return nullptr;
}

void* aot_proxy_executor(const aot_proxy* proxy) { return proxy->executor(); }

int aot_proxy_resolve(void* tensor, void** resolved, char* error, size_t error_size) {
  try {
    const auto* given = static_cast<const at::Tensor*>(tensor);
    *resolved = nullptr;
    if (given->layout() != at::kStrided) {
      std::snprintf(error, error_size, "its layout is %s", c10::str(given->layout()).c_str());
      return 0;
    }
    // One of zeros alone may have no memory at all.
    if (given->is_conj() || given->is_neg() || given->_is_zerotensor()) {
      *resolved = new at::Tensor(given->resolve_conj().resolve_neg().clone());
    }
    return 1;
  } catch (const std::exception& exception) {
    std::snprintf(error, error_size, "%s", exception.what());
  } catch (...) {
    std::snprintf(error, error_size, "unknown exception");
  }
  return 0;
}

void aot_proxy_delete(aot_proxy* proxy) { delete proxy; }
