// SPDX-License-Identifier: Apache-2.0
#include "runtime/runtime.h"

#include <dlfcn.h>

#include <memory>
#include <mutex>

#include "base/error.h"
#include "base/library.h"
#include "base/own_names.h"
#include "base/single_file.h"
#include "base/text.h"

namespace aot {
namespace {

std::mutex loading;
std::unique_ptr<const Runtime> loaded;

}  // namespace

bool Runtime::is_slim() {
  constexpr const char* kName = "libaot_slim.so";
  return is_from_memory() ? is_loaded(kName) : exists(own_folder() + '/' + kName);
}

std::string Runtime::library_name() { return is_slim() ? "libaot_slim.so" : "libtorch_cpu.so"; }

const Runtime& Runtime::load(const Device& device) {
  const std::lock_guard<std::mutex> lock(loading);
  if (!loaded) loaded.reset(new Runtime);
  // The GPU half of torch registers its kernels when it is loaded; loading it again does nothing.
  if (device.id().type == AOT_DEVICE_CUDA) load_for_good("libtorch_cuda.so");
  if (device.id().type == AOT_DEVICE_ROCM) load_for_good("libtorch_hip.so");
  return *loaded;
}

const Runtime& Runtime::get() { return *loaded; }

Runtime::Runtime() {
  const Library library = load_for_good(library_name());
  const bool slim = is_slim();
  const auto name = [slim](const char* function) { return slim ? own_name(function) : std::string(function); };
#define AOT_SHIM_BIND(function) bind(library, name(#function).c_str(), function);
  AOT_SHIM_FUNCTIONS(AOT_SHIM_BIND)
#undef AOT_SHIM_BIND
  bind_if_present(library, name("torch_exception_get_what_without_backtrace").c_str(), exception_text_);
  if (slim) {
    bind(library, "aot_slim_set_threads", pool_.set_threads);
    bind(library, "aot_slim_enter_call", pool_.enter_call);
    bind(library, "aot_slim_leave_call", pool_.leave_call);
  } else {
    bind_if_present(library, "omp_set_num_threads", openmp_.set_threads);
    bind_if_present(library, "omp_get_max_threads", openmp_.max_threads);
    bind_if_present(library, "omp_pause_resource_all", openmp_.pause);
    bind_if_present(library, "GOMP_parallel", openmp_.parallel);
    bind_if_present(library, "torch_call_dispatcher", op_calls_.call);
    bind_if_present(library, "torch_new_list_reserve_size", op_calls_.new_list);
    bind_if_present(library, "torch_list_push_back", op_calls_.push);
    bind_if_present(library, "torch_new_stable_ivalue", op_calls_.new_optional);
    bind_if_present(library, "aoti_torch_abi_version", op_calls_.version);
  }
  for (int i = 0; i < kDtypeCount; ++i) {
    decltype(&aoti_torch_dtype_float32) number = nullptr;
    bind(library, name(concat({"aoti_torch_dtype_", name_of(static_cast<Dtype>(i))}).c_str()).c_str(), number);
    dtype_numbers_[i] = number();
  }
}

Dtype Runtime::dtype_of(int32_t number) const {
  for (int i = 0; i < kDtypeCount; ++i) {
    if (dtype_numbers_[i] == number) return static_cast<Dtype>(i);
  }
  throw Error(AOT_FAILED, {"an output has torch's dtype number ", number},
              {"A bundle returns tensors of ", dtype_names(), "."},
              {"Convert the output inside the model, for example with .to(torch.float32), and export it again."});
}

std::string Runtime::last_message() const {
  const char* text = exception_text_ != nullptr ? exception_text_() : nullptr;
  return text != nullptr ? text : "";
}

void Runtime::check(AOTITorchError code, const char* doing) const {
  if (code == 0) return;
  throw Error(AOT_FAILED, {"the runtime failed while ", doing, ": ", last_message()},
              {"The error comes from inside the runtime."}, {"Run again with AOT_DEBUG=1 to see the tensors."});
}

}  // namespace aot
