// The rest of the shim's core: modes of the thread, debug output, profiling hooks, threads.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>

#include "tensor/iterate.h"

using namespace slim;

namespace {

// Models switch gradients off around a call and back on after it. There are none here; the switch is kept so that they
// read what they wrote.
thread_local bool grad_mode = true;

}  // namespace

extern "C" {

bool aoti_torch_grad_mode_is_enabled() { return grad_mode; }
void aoti_torch_grad_mode_set_enabled(bool enabled) { grad_mode = enabled; }

AOTITorchError aoti_torch_check_inf_and_nan(const char* tensor_name, AtenTensorHandle tensor) {
  return guard(__func__, [&] {
    const Tensor& self = get(tensor);
    if (!is_floating(self.dtype)) return;
    visit_floating(self.dtype, [&](auto type) {
      using T = typename decltype(type)::type;
      for_each<T>(self, [&](T value) {
        const auto wide = static_cast<double>(value);
        require(!std::isnan(wide), "At least one NaN in ", tensor_name);
        require(!std::isinf(wide), "At least one INF in ", tensor_name);
      });
    });
  });
}

void aoti_torch_print_tensor_handle(AtenTensorHandle self, const char* msg) {
  guard(__func__, [&] {
    const Tensor& tensor = get(self);
    std::fprintf(stderr, "%s: %s%s, strides %s", msg, dtype_name(tensor.dtype),
                 std::string(to_string(tensor.sizes)).c_str(), std::string(to_string(tensor.strides)).c_str());
    if (tensor.numel() > 0 && !is_complex(tensor.dtype) && tensor.layout == Layout::kStrided) {
      const Tensor wide = contiguous(to(tensor, ScalarType::Double));
      const auto* values = wide.data<double>();
      const auto [least, most] = std::minmax_element(values, values + wide.numel());
      std::fprintf(stderr, ", first %g, min %g, max %g", values[0], *least, *most);
    }
    std::fputc('\n', stderr);
  });
}

// Profiling hooks: there is no profiler here to tell. The handles are markers that are never followed.
AOTITorchError aoti_record_function_start(const char*, IValueMapHandle, const C10IValueHandle*, const uint64_t,
                                          AtenRecordFunctionHandle* guard_handle) {
  *guard_handle = nullptr;
  return AOTI_TORCH_SUCCESS;
}
AOTITorchError aoti_record_function_end(AtenRecordFunctionHandle) { return AOTI_TORCH_SUCCESS; }
AOTITorchError aoti_torch_int64_to_ivalue(int64_t, C10IValueHandle* ivalue) {
  *ivalue = nullptr;
  return AOTI_TORCH_SUCCESS;
}
AOTITorchError aoti_torch_strlist_to_ivalue(const char**, int64_t, C10IValueHandle* ivalue) {
  *ivalue = nullptr;
  return AOTI_TORCH_SUCCESS;
}
AOTITorchError aoti_torch_str_to_ivalue(const char*, C10IValueHandle* ivalue) {
  *ivalue = nullptr;
  return AOTI_TORCH_SUCCESS;
}
AOTITorchError aoti_torch_tensor_to_ivalue(AtenTensorHandle, C10IValueHandle* ivalue) {
  *ivalue = nullptr;
  return AOTI_TORCH_SUCCESS;
}
AOTITorchError aoti_torch_delete_c10_value_object(C10IValueHandle) { return AOTI_TORCH_SUCCESS; }
}
