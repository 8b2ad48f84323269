// SPDX-License-Identifier: Apache-2.0
#include "runtime/proxy_executor.h"

#include <dlfcn.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/single_file.h"
#include "base/text.h"
#include "package/json.h"
#include "runtime/runtime.h"

namespace aot {
namespace {

constexpr const char* kLibrary = "libaot_proxy.so";

/// Names of the ops, such as "aten::_linalg_svd".
std::vector<std::string> ops_of(const Package& package) {
  try {
    std::vector<std::string> ops;
    const Json document = Json::parse(package.extern_nodes);
    for (const Json& node : document.at("nodes").items()) ops.push_back(node.at("node").at("target").text());
    return ops;
  } catch (const JsonError& error) {
    throw damaged_error({"the list of ops of ", package.path, " is malformed: ", error.what()},
                        {"The ops without a C shim cannot be found."});
  }
}

Library load_library(const Package& package, const std::vector<std::string>& ops) {
  try {
    return {kLibrary, RTLD_NOW | RTLD_LOCAL};
  } catch (const Error& error) {
    if (error.status() != AOT_DAMAGED) throw;
    throw Error(AOT_MODEL_MISMATCH,
                {package.path, " uses ", ops.front(), ", which needs ", kLibrary, ", and that is not in this bundle"},
                {"The op has no C shim; only libtorch's proxy executor can run it."},
                {"Build the bundle with this model and with --runtime full."});
  }
}

std::string path_of_symbol(const void* symbol) {
  Dl_info info{};
  return dladdr(symbol, &info) != 0 && info.dli_fname != nullptr ? info.dli_fname : kLibrary;
}

}  // namespace

void refuse_without_libtorch(const Package& package) {
  if (package.extern_nodes.empty()) return;
  std::vector<std::string> ops = ops_of(package);
  if (ops.empty()) return;
  std::sort(ops.begin(), ops.end());
  ops.erase(std::unique(ops.begin(), ops.end()), ops.end());
  throw Error(AOT_MODEL_MISMATCH, {package.path, " uses ", join(ops), ", which the slim runtime does not have"},
              {"An op without a C shim is run by libtorch's proxy executor, and this bundle has no libtorch."},
              {"Build the bundle with this model and with --runtime full."});
}

ProxyExecutor::ProxyExecutor(Package& package, const Device& device) {
  if (package.extern_nodes.empty()) return;
  const std::vector<std::string> ops = ops_of(package);
  if (ops.empty()) return;
  library_ = load_library(package, ops);
  decltype(&aot_proxy_create) create = nullptr;
  decltype(&aot_proxy_executor) executor = nullptr;
  bind(library_, "aot_proxy_create", create);
  bind(library_, "aot_proxy_executor", executor);
  bind(library_, "aot_proxy_delete", delete_);
  bind(library_, "aot_proxy_resolve", resolve_);

  // libtorch wants the description and a library side by side. A bundle that is a folder has them so; otherwise one is
  // made for the moment.
  std::string path = package.path + "/extern_kernel_nodes.so";
  ScratchFolder scratch;
  if (is_below_a_file(path) || !exists(path)) {
    const auto* json = reinterpret_cast<const uint8_t*>(package.extern_nodes.data());
    scratch.write("extern_kernel_nodes.json", json, package.extern_nodes.size());
    path = scratch.link("extern_kernel_nodes.so", path_of_symbol(reinterpret_cast<const void*>(create)));
  }
  char reason[1024] = "";
  proxy_ = create(path.c_str(), device.torch_name().c_str(), reason, sizeof reason);
  if (proxy_ == nullptr) {
    throw Error(AOT_MODEL_MISMATCH, {package.path, " uses ops that libtorch cannot run: ", reason},
                {"The op comes from a library that is not in this bundle, or from another version of torch."},
                {"Build the bundle with the torch that exported the model; custom ops cannot travel."});
  }
  handle_ = executor(proxy_);
}

ProxyExecutor::~ProxyExecutor() {
  if (proxy_ != nullptr) delete_(proxy_);
}

TensorHandle ProxyExecutor::resolve(TensorHandle tensor) const {
  if (resolve_ == nullptr) return tensor;
  char reason[1024] = "";
  void* resolved = nullptr;
  if (!resolve_(tensor.get(), &resolved, reason, sizeof reason)) {
    throw Error(AOT_FAILED, {"an output cannot be had as plain memory: ", reason},
                {"The model returns what one of libtorch's own ops gave it."},
                {"Return a dense tensor from the exported module."});
  }
  return resolved == nullptr ? std::move(tensor) : TensorHandle(static_cast<AtenTensorHandle>(resolved));
}

}  // namespace aot
