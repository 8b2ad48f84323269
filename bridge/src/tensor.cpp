// SPDX-License-Identifier: Apache-2.0
#include "tensor.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "container.h"
#include "device.h"
#include "error.h"
#include "runtime.h"

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

/// Walks two strided tensors of one shape together: calls `visit(left_offset, right_offset, bytes)` for each run of
/// elements that is dense in both, until it returns false. Offsets are in bytes; null strides mean C order. Returns
/// whether it came to the end.
template <class Visit>
bool for_each_run(const int64_t* left_strides, const int64_t* right_strides, const int64_t* shape, int32_t ndim,
                  size_t size, const Visit& visit) {
  if (count_elements(shape, ndim) == 0) return true;
  const CStrides c_order(shape, ndim);
  if (left_strides == nullptr) left_strides = c_order.values;
  if (right_strides == nullptr) right_strides = c_order.values;
  const auto bytes = static_cast<int64_t>(size);

  int32_t outer = ndim;
  int64_t run = 1;
  while (outer > 0 && (shape[outer - 1] == 1 || (left_strides[outer - 1] == run && right_strides[outer - 1] == run))) {
    run *= shape[--outer];
  }
  std::vector<int64_t> index(static_cast<size_t>(outer), 0);
  int64_t left = 0;
  int64_t right = 0;
  while (true) {
    if (!visit(left * bytes, right * bytes, static_cast<size_t>(run * bytes))) return false;
    int32_t dim = outer - 1;
    for (; dim >= 0; --dim) {
      int64_t& position = index[static_cast<size_t>(dim)];
      left += left_strides[dim];
      right += right_strides[dim];
      if (++position < shape[dim]) break;
      left -= left_strides[dim] * shape[dim];
      right -= right_strides[dim] * shape[dim];
      position = 0;
    }
    if (dim < 0) return true;
  }
}

}  // namespace

int64_t count_elements(const int64_t* shape, int32_t ndim) {
  int64_t count = 1;
  bool is_empty = false;
  bool too_large = false;
  for (int32_t i = 0; i < ndim; ++i) {
    if (shape[i] < 0) {
      throw usage_error("a size of " + std::to_string(shape[i]) + " at dim " + std::to_string(i),
                        "Sizes are 0 or greater.", "Check the shape.");
    }
    is_empty = is_empty || shape[i] == 0;
    too_large = too_large || __builtin_mul_overflow(count, shape[i], &count);
  }
  if (is_empty) return 0;
  if (too_large) {
    throw usage_error("a shape with more elements than 63 bits count", "No memory holds such a tensor.",
                      "Check the shape.");
  }
  return count;
}

CStrides::CStrides(const int64_t* shape, int32_t ndim) {
  int64_t step = 1;
  for (int32_t i = ndim - 1; i >= 0; --i) {
    values[i] = step;
    // Only an empty tensor can overflow here; nothing is ever read through its strides.
    if (__builtin_mul_overflow(step, std::max<int64_t>(shape[i], 1), &step)) step = 1;
  }
}

bool is_contiguous(const aot_view& view) {
  if (view.strides == nullptr) return true;
  int64_t step = 1;
  bool in_order = true;
  for (int32_t i = view.ndim - 1; i >= 0; --i) {
    if (view.shape[i] == 0) return true;
    if (view.shape[i] != 1 && view.strides[i] != step) in_order = false;
    if (__builtin_mul_overflow(step, view.shape[i], &step)) step = 1;  // an empty tensor, see above
  }
  return in_order;
}

void copy_strided(void* destination, const int64_t* destination_strides, const void* source,
                  const int64_t* source_strides, const int64_t* shape, int32_t ndim, size_t size) {
  auto* to = static_cast<uint8_t*>(destination);
  const auto* from = static_cast<const uint8_t*>(source);
  for_each_run(destination_strides, source_strides, shape, ndim, size,
               [&](int64_t to_offset, int64_t from_offset, size_t bytes) {
                 std::memcpy(to + to_offset, from + from_offset, bytes);
                 return true;
               });
}

bool equal_strided(const void* left, const int64_t* left_strides, const void* right, const int64_t* right_strides,
                   const int64_t* shape, int32_t ndim, size_t size) {
  const auto* a = static_cast<const uint8_t*>(left);
  const auto* b = static_cast<const uint8_t*>(right);
  return for_each_run(left_strides, right_strides, shape, ndim, size,
                      [&](int64_t a_offset, int64_t b_offset, size_t bytes) {
                        return std::memcmp(a + a_offset, b + b_offset, bytes) == 0;
                      });
}

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
  aot_view from_first = view;
  from_first.data = first_byte(view);
  if (is_contiguous(view)) from_first.strides = c_order.values;
  return borrow_storage(from_first, 0);
}

namespace {

TensorHandle wrap(const aot_view& view, const int64_t* strides, int64_t offset, int32_t layout,
                  const std::string& descriptor) {
  const Runtime& runtime = Runtime::get();
  const TorchDevice where(view.device);
  Dtype dtype{};
  dtype_from_dlpack(view.dtype, &dtype);
  AtenTensorHandle handle = nullptr;
  runtime.check(
      runtime.aoti_torch_create_tensor_from_blob_v2(
          view.data, view.ndim, view.shape, strides, offset, runtime.number_of(dtype), where.type, where.index, &handle,
          layout, reinterpret_cast<const uint8_t*>(descriptor.data()), static_cast<int64_t>(descriptor.size())),
      "wrapping memory");
  return TensorHandle(handle);
}

}  // namespace

TensorHandle borrow_storage(const aot_view& view, int64_t offset) {
  return wrap(view, view.strides, offset, Runtime::get().aoti_torch_layout_strided(), "");
}

TensorHandle borrow_packed(const aot_view& view, const std::string& descriptor) {
  return wrap(view, CStrides(view.shape, view.ndim).values, 0, Runtime::get().aoti_torch_layout__mkldnn(), descriptor);
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

aot_tensor::aot_tensor(aot::TensorHandle tensor, aot_device gpu, std::shared_ptr<const aot::Container> model)
    : container(std::move(model)), handle(std::move(tensor)) {
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
