#include <torch/csrc/inductor/aoti_torch/generated/c_shim_aten.h>
#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include "tensor/lanes.h"

using namespace slim;

namespace {

Tensor full(const Dims& sizes, double value, ScalarType dtype) {
  Tensor out = empty(sizes, dtype);
  fill(out, value);
  return out;
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu_fill__Scalar(AtenTensorHandle self, double value) {
  return guard(__func__, [&] { fill(get(self), value); });
}

AOTITorchError aoti_torch_aten_fill__Scalar(AtenTensorHandle self, double value) {
  return guard(__func__, [&] { fill(get(self), value); });
}

AOTITorchError aoti_torch_aten_full(const int64_t* size, int64_t size_len_, double fill_value, int32_t* dtype, int32_t*,
                                    int32_t*, int32_t, int32_t*, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    *ret0 = give(full(list(size, size_len_), fill_value, optional_dtype(dtype).value_or(ScalarType::Float)));
  });
}

AOTITorchError aoti_torch_aten_new_empty(AtenTensorHandle self, const int64_t* size, int64_t size_len_, int32_t* dtype,
                                         int32_t*, int32_t*, int32_t, int32_t*, AtenTensorHandle* ret0) {
  return guard(__func__,
               [&] { *ret0 = give(empty(list(size, size_len_), optional_dtype(dtype).value_or(get(self).dtype))); });
}

AOTITorchError aoti_torch_aten_new_zeros(AtenTensorHandle self, const int64_t* size, int64_t size_len_, int32_t* dtype,
                                         int32_t*, int32_t*, int32_t, int32_t*, AtenTensorHandle* ret0) {
  return guard(__func__,
               [&] { *ret0 = give(zeros(list(size, size_len_), optional_dtype(dtype).value_or(get(self).dtype))); });
}

// In libtorch a tensor that knows to be zero without memory of its own; here plain zeros.
AOTITorchError aoti_torch_cpu__efficientzerotensor(const int64_t* size, int64_t size_len_, int32_t* dtype, int32_t*,
                                                   int32_t*, int32_t, int32_t*, AtenTensorHandle* ret0) {
  return guard(__func__,
               [&] { *ret0 = give(zeros(list(size, size_len_), optional_dtype(dtype).value_or(ScalarType::Float))); });
}
}
