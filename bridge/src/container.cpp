// SPDX-License-Identifier: Apache-2.0
#include "container.h"

#include <dlfcn.h>

#include <utility>

#include "error.h"
#include "runtime.h"

namespace aot {

Container::Container(Package package, const Device& device, size_t num_runners)
    : package_(std::move(package)), library_(package_.library_path, RTLD_NOW | RTLD_LOCAL), proxy_(package_, device) {
  decltype(&AOTInductorModelContainerCreateWithDevice) create = nullptr;
  decltype(&AOTInductorModelContainerGetNumInputs) num_inputs = nullptr;
  decltype(&AOTInductorModelContainerGetInputName) input_name = nullptr;
  decltype(&AOTInductorModelContainerGetNumOutputs) num_outputs = nullptr;
  decltype(&AOTInductorModelContainerGetOutputName) output_name = nullptr;
  bind(library_, "AOTInductorModelContainerCreateWithDevice", create);
  bind(library_, "AOTInductorModelContainerDelete", delete_);
  bind(library_, "AOTInductorModelContainerRun", run_);
  bind(library_, "AOTInductorModelContainerGetNumInputs", num_inputs);
  bind(library_, "AOTInductorModelContainerGetInputName", input_name);
  bind(library_, "AOTInductorModelContainerGetNumOutputs", num_outputs);
  bind(library_, "AOTInductorModelContainerGetOutputName", output_name);
  bind_if_present(library_, "AOTInductorGetLastError", get_last_error_);

  const char* kernels = package_.kernels_folder.empty() ? nullptr : package_.kernels_folder.c_str();
  check(create(&handle_, num_runners, device.torch_name().c_str(), kernels), "creating the model");
  try {
    load_constants();
    input_names_ = names(num_inputs, input_name);
    output_names_ = names(num_outputs, output_name);
  } catch (...) {
    delete_(handle_);
    throw;
  }
}

Container::~Container() {
  delete_(handle_);
  library_ = Library();
  // The loader knows libraries by their path. When it keeps this one (templates with static data make it do so), the path, a number in
  // /proc, must not come to name another file.
  if (package_.library_file.is_open() && is_loaded(package_.library_path)) package_.library_file.release();
}

void Container::load_constants() {
  decltype(&AOTInductorModelContainerGetNumConstants) num_constants = nullptr;
  decltype(&AOTInductorModelContainerGetConstantDataSize) data_size = nullptr;
  decltype(&AOTInductorModelContainerGetConstantFromFolded) from_folded = nullptr;
  bind(library_, "AOTInductorModelContainerGetNumConstants", num_constants);
  bind(library_, "AOTInductorModelContainerGetConstantDataSize", data_size);
  bind(library_, "AOTInductorModelContainerGetConstantFromFolded", from_folded);
  size_t count = 0;
  size_t needed = 0;
  bool has_folded = false;
  check(num_constants(handle_, &count), "counting the model's constants");
  for (size_t i = 0; i < count; ++i) {
    bool folded = false;
    size_t bytes = 0;
    check(from_folded(handle_, i, &folded), "describing a constant");
    check(data_size(handle_, i, &bytes), "describing a constant");
    has_folded = has_folded || folded;
    if (!folded) needed += bytes;
  }

  if (package_.weights != nullptr) {
    // The container reads as many bytes as its constants have, without asking how many there are.
    if (package_.weights_size < needed) {
      throw damaged_error("the weights of " + package_.path + " have " + std::to_string(package_.weights_size) +
                              " bytes; the model needs " + std::to_string(needed),
                          "The weights are truncated, or belong to another model.");
    }
    decltype(&AOTInductorModelUpdateConstantsFromBlob) update = nullptr;
    bind(library_, "AOTInductorModelUpdateConstantsFromBlob", update);
    check(update(handle_, package_.weights), "loading the weights");
  }

  if (has_folded) {
    // Left alone, the first run would do it, and a failure there leaves the container without its runner: the next call would
    // wait for it forever.
    decltype(&AOTInductorModelContainerRunConstantFolding) fold = nullptr;
    bind(library_, "AOTInductorModelContainerRunConstantFolding", fold);
    check(fold(handle_, /*use_inactive=*/false, /*stream=*/nullptr, proxy_handle()), "folding the model's constants");
  }
}

std::vector<std::string> Container::names(decltype(&AOTInductorModelContainerGetNumInputs) count,
                                          decltype(&AOTInductorModelContainerGetInputName) name) const {
  size_t size = 0;
  check(count(handle_, &size), "counting inputs and outputs");
  std::vector<std::string> result;
  for (size_t i = 0; i < size; ++i) {
    const char* text = nullptr;
    check(name(handle_, i, &text), "naming inputs and outputs");
    result.emplace_back(text != nullptr ? text : "");
  }
  return result;
}

void Container::run(std::vector<AtenTensorHandle>& inputs, std::vector<AtenTensorHandle>& outputs) const {
  check(run_(handle_, inputs.data(), inputs.size(), outputs.data(), outputs.size(), /*stream=*/nullptr,
             proxy_handle()),
        "running");
}

void Container::check(AOTIRuntimeError code, const char* doing) const {
  if (code == AOTI_RUNTIME_SUCCESS) return;
  const char* own_message = nullptr;
  if (get_last_error_ != nullptr) get_last_error_(&own_message);
  std::string reason = own_message != nullptr ? own_message : "";
  // When a shim function failed, the model knows only which; the runtime knows why.
  const std::string cause = Runtime::get().last_message();
  if (!cause.empty() && (reason.empty() || reason.find("API call failed") != std::string::npos)) {
    reason = cause + (reason.empty() ? "" : " (" + reason + ")");
  }
  throw Error(AOT_FAILED,
              package_.path + " failed while " + doing + ": " +
                  (reason.empty() ? "see the lines above on standard error" : reason),
              "The error comes from inside the model.", "Run again with AOT_DEBUG=1 to see the tensors it was given.");
}

}  // namespace aot
