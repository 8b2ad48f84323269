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

void aot_proxy_delete(aot_proxy* proxy) { delete proxy; }
