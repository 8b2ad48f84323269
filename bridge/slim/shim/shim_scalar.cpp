// The shim's tensors of one element: out of one, and into one.
#include "tensor/tensor.h"

using namespace slim;

namespace {

template <class T>
T item(AtenTensorHandle handle, ScalarType dtype) {
  const Tensor& self = get(handle);
  require(self.numel() == 1, "a tensor of ", self.numel(), " elements is no scalar");
  Tensor scalar = empty({}, dtype);
  copy(scalar, reshape(self, {}));
  return *scalar.data<T>();
}

template <class T>
Tensor scalar(T value, ScalarType dtype) {
  Tensor tensor = empty({}, dtype);
  *tensor.data<T>() = value;
  return tensor;
}

}  // namespace

#define AOT_SLIM_ITEM(NAME, T, DTYPE)                                                 \
  AOTITorchError aoti_torch_item_##NAME(AtenTensorHandle tensor, T* ret_value) {      \
    return guard(__func__, [&] { *ret_value = item<T>(tensor, ScalarType::DTYPE); }); \
  }
#define AOT_SLIM_SCALAR(NAME, T, DTYPE)                                                          \
  AOTITorchError aoti_torch_scalar_to_tensor_##NAME(T value, AtenTensorHandle* ret_new_tensor) { \
    return guard(__func__, [&] { *ret_new_tensor = give(scalar(value, ScalarType::DTYPE)); });   \
  }

extern "C" {

AOT_SLIM_ITEM(float16, c10::Half, Half)
AOT_SLIM_ITEM(float32, float, Float)
AOT_SLIM_ITEM(float64, double, Double)
AOT_SLIM_ITEM(uint8, uint8_t, Byte)
AOT_SLIM_ITEM(uint16, uint16_t, UInt16)
AOT_SLIM_ITEM(uint32, uint32_t, UInt32)
AOT_SLIM_ITEM(uint64, uint64_t, UInt64)
AOT_SLIM_ITEM(int8, int8_t, Char)
AOT_SLIM_ITEM(int16, int16_t, Short)
AOT_SLIM_ITEM(int32, int32_t, Int)
AOT_SLIM_ITEM(int64, int64_t, Long)
AOT_SLIM_ITEM(bool, bool, Bool)
AOT_SLIM_ITEM(bfloat16, c10::BFloat16, BFloat16)
AOT_SLIM_ITEM(complex64, c10::complex<float>, ComplexFloat)

AOT_SLIM_SCALAR(float32, float, Float)
AOT_SLIM_SCALAR(float64, double, Double)
AOT_SLIM_SCALAR(uint8, uint8_t, Byte)
AOT_SLIM_SCALAR(uint16, uint16_t, UInt16)
AOT_SLIM_SCALAR(uint32, uint32_t, UInt32)
AOT_SLIM_SCALAR(uint64, uint64_t, UInt64)
AOT_SLIM_SCALAR(int8, int8_t, Char)
AOT_SLIM_SCALAR(int16, int16_t, Short)
AOT_SLIM_SCALAR(int32, int32_t, Int)
AOT_SLIM_SCALAR(int64, int64_t, Long)
AOT_SLIM_SCALAR(bool, bool, Bool)
AOT_SLIM_SCALAR(complex64, c10::complex<float>, ComplexFloat)
AOT_SLIM_SCALAR(complex128, c10::complex<double>, ComplexDouble)
}
