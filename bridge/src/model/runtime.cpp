// SPDX-License-Identifier: Apache-2.0
#include "model/runtime.h"

#include <dlfcn.h>

#include <memory>

#include "base/error.h"
#include "base/library.h"
#include "base/lock.h"
#include "base/mapped_file.h"

namespace aot {
namespace {

Mutex loading;
std::unique_ptr<const Runtime> loaded;

}  // namespace

std::string Runtime::library_name() {
  return exists(own_folder() + "/libaot_slim.so") ? "libaot_slim.so" : "libtorch_cpu.so";
}

const Runtime& Runtime::load(const Device& device) {
  const Lock lock(loading);
  if (!loaded) loaded.reset(new Runtime);
  // The GPU half of torch registers its kernels when it is loaded; loading it again does nothing.
  if (device.id().type == AOT_DEVICE_CUDA) load_for_good("libtorch_cuda.so");
  if (device.id().type == AOT_DEVICE_ROCM) load_for_good("libtorch_hip.so");
  return *loaded;
}

const Runtime& Runtime::get() { return *loaded; }

Runtime::Runtime() {
  const Library library = load_for_good(library_name());
#define AOT_SHIM_BIND(function) bind(library, #function, function);
  AOT_SHIM_FUNCTIONS(AOT_SHIM_BIND)
#undef AOT_SHIM_BIND
  bind_if_present(library, "torch_exception_get_what_without_backtrace", exception_text_);
  for (int i = 0; i < kDtypeCount; ++i) {
    decltype(&aoti_torch_dtype_float32) number = nullptr;
    bind(library, (std::string("aoti_torch_dtype_") + name_of(static_cast<Dtype>(i))).c_str(), number);
    dtype_numbers_[i] = number();
  }
}

Dtype Runtime::dtype_of(int32_t number) const {
  for (int i = 0; i < kDtypeCount; ++i) {
    if (dtype_numbers_[i] == number) return static_cast<Dtype>(i);
  }
  throw Error(AOT_FAILED, {"an output has torch's dtype number ", number},
              {"Only the dtypes that DLPack also has can leave the bridge."},
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
