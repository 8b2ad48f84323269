// SPDX-License-Identifier: Apache-2.0
#include "runtime/tensor.h"

#include <utility>

#include "base/error.h"
#include "device/device.h"
#include "runtime/runtime.h"

namespace aot {
namespace {

/// torch's name of a device in its C shim. A CPU tensor has index -1 there, as AOTInductor's own tensors do.
struct TorchDevice {
  explicit TorchDevice(aot_device device)
      : type(device.type == AOT_DEVICE_CPU ? Runtime::get().aoti_torch_device_type_cpu()
                                           : Runtime::get().aoti_torch_device_type_cuda()),
        index(device.type == AOT_DEVICE_CPU ? -1 : device.index) {}
  int32_t type;
  int32_t index;
};

}  // namespace

TensorHandle& TensorHandle::operator=(TensorHandle&& other) noexcept {
  std::swap(handle_, other.handle_);
  return *this;
}

TensorHandle::~TensorHandle() {
  if (handle_ != nullptr) Runtime::get().aoti_torch_delete_tensor_object(handle_);
}

AtenTensorHandle TensorHandle::release() { return std::exchange(handle_, nullptr); }

TensorHandle borrow(const aot_view& view) {
  // Dims of size 1 may come with any stride; models compare with torch's.
  CStrides c_order(view.shape, view.ndim);
  Dtype dtype{};
  dtype_from_dlpack(view.dtype, &dtype);
  const int64_t* strides = is_contiguous(view) ? c_order.values : view.strides;
  const int32_t number = Runtime::get().number_of(dtype);
  return borrow_memory({first_byte(view), view.shape, view.ndim, strides, 0, number, view.device}, nullptr);
}

TensorHandle borrow_memory(const Memory& memory, const std::string* descriptor) {
  const Runtime& runtime = Runtime::get();
  const TorchDevice where(memory.device);
  AtenTensorHandle handle = nullptr;
  runtime.check(
      runtime.aoti_torch_create_tensor_from_blob_v2(
          memory.data, memory.ndim, memory.shape, memory.strides, memory.offset, memory.dtype, where.type, where.index,
          &handle, descriptor == nullptr ? runtime.aoti_torch_layout_strided() : runtime.aoti_torch_layout__mkldnn(),
          descriptor == nullptr ? nullptr : reinterpret_cast<const uint8_t*>(descriptor->data()),
          descriptor == nullptr ? 0 : static_cast<int64_t>(descriptor->size())),
      "wrapping memory");
  return TensorHandle(handle);
}

TensorHandle allocate(Dtype dtype, const int64_t* shape, int32_t ndim, aot_device device) {
  const Runtime& runtime = Runtime::get();
  const TorchDevice where(device);
  AtenTensorHandle handle = nullptr;
  runtime.check(runtime.aoti_torch_empty_strided(ndim, shape, CStrides(shape, ndim).values, runtime.number_of(dtype),
                                                 where.type, where.index, &handle),
                "allocating memory for an input");
  return TensorHandle(handle);
}

TensorHandle share(const TensorHandle& tensor) {
  const Runtime& runtime = Runtime::get();
  AtenTensorHandle reference = nullptr;
  runtime.check(runtime.aoti_torch_new_tensor_handle(tensor.get(), &reference), "sharing a tensor");
  return TensorHandle(reference);
}

TensorHandle clone(const TensorHandle& tensor) {
  const Runtime& runtime = Runtime::get();
  AtenTensorHandle copy = nullptr;
  runtime.check(runtime.aoti_torch_clone(tensor.get(), &copy), "copying an output");
  return TensorHandle(copy);
}

TensorHandle contiguous_copy(const aot_view& view) {
  const Runtime& runtime = Runtime::get();
  Dtype dtype{};
  dtype_from_dlpack(view.dtype, &dtype);
  TensorHandle copy = allocate(dtype, view.shape, view.ndim, view.device);
  runtime.check(runtime.aoti_torch_copy_(copy.get(), borrow(view).get(), /*non_blocking=*/0), "packing a tensor");
  return copy;
}

void copy_to_host(const aot_view& view, void* destination, size_t bytes) {
  if (bytes == 0) return;
  if (view.device.type == AOT_DEVICE_CPU) {
    copy_strided(destination, nullptr, first_byte(view), view.strides, view.shape, view.ndim, view.dtype.bits / 8U);
    return;
  }
  const Device& device = find_device({view.device.type, view.device.index});
  device.activate();
  if (is_contiguous(view)) {
    device.copy_to_host(destination, first_byte(view), bytes);
    return;
  }
  const TensorHandle packed = contiguous_copy(view);
  device.synchronize();
  device.copy_to_host(destination, data_of(packed), bytes);
}

void* data_of(const TensorHandle& tensor) {
  const Runtime& runtime = Runtime::get();
  void* data = nullptr;
  runtime.check(runtime.aoti_torch_get_data_ptr(tensor.get(), &data), "reading a tensor's address");
  return data;
}

}  // namespace aot

void aot_tensor::describe(aot_device gpu) {
  const aot::Runtime& runtime = aot::Runtime::get();
  constexpr const char* kDoing = "describing an output";
  int64_t ndim = 0;
  int64_t* sizes = nullptr;
  int64_t* steps = nullptr;
  int32_t dtype = 0;
  int32_t device_type = 0;
  runtime.check(runtime.aoti_torch_get_dim(handle.get(), &ndim), kDoing);
  runtime.check(runtime.aoti_torch_get_sizes(handle.get(), &sizes), kDoing);
  runtime.check(runtime.aoti_torch_get_strides(handle.get(), &steps), kDoing);
  runtime.check(runtime.aoti_torch_get_dtype(handle.get(), &dtype), kDoing);
  runtime.check(runtime.aoti_torch_get_device_type(handle.get(), &device_type), kDoing);
  view.data = aot::data_of(handle);
  // A GPU model may return host tensors beside those on its own device.
  view.device = device_type == runtime.aoti_torch_device_type_cpu() ? aot_device{AOT_DEVICE_CPU, 0} : gpu;
  view.ndim = static_cast<int32_t>(ndim);
  view.dtype = aot::dlpack_of(runtime.dtype_of(dtype));
  view.shape = sizes;
  view.strides = steps;
}
