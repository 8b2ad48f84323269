// The shim's tensors: making, describing, viewing, sharing and deleting them.
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "tensor/pending.h"
#include "tensor/tensor.h"

using namespace slim;

namespace {

void require_cpu(int32_t device_type) {
  require(device_type == aoti_torch_device_type_cpu(), "device type ", device_type,
          " is not the CPU, the only device here");
}

Dims dims(const int64_t* values, int64_t count) {
  require(count >= 0 && (values != nullptr || count == 0), "a tensor cannot have ", count, " dims");
  return Dims(values, static_cast<size_t>(count));
}

Tensor borrow(void* data, Dims sizes, Dims strides, int64_t offset, ScalarType dtype,
              Storage::Deleter deleter = nullptr, void* context = nullptr) {
  Tensor tensor;
  tensor.storage = Storage::borrow(data, bytes_needed(sizes, strides, offset, element_size(dtype)), deleter, context);
  tensor.sizes = std::move(sizes);
  tensor.strides = std::move(strides);
  tensor.offset = offset;
  tensor.dtype = dtype;
  return tensor;
}

// A constant in oneDNN's own layout: `metadata` is a serialised memory descriptor, and only oneDNN knows the data's
// size.
Tensor borrow_mkldnn(void* data, Dims sizes, ScalarType dtype, const uint8_t* metadata, int64_t metadata_size) {
  require(metadata != nullptr && metadata_size > 0, "a oneDNN tensor needs its memory descriptor");
  Tensor tensor;
  tensor.storage = Storage::borrow(data, 0);
  tensor.strides = contiguous_strides(sizes);
  tensor.sizes = std::move(sizes);
  tensor.dtype = dtype;
  tensor.layout = Layout::kMkldnn;
  tensor.opaque = std::make_shared<Opaque>(std::vector<uint8_t>(metadata, metadata + metadata_size));
  return tensor;
}

}  // namespace

extern "C" {

// ---- making -------------------------------------------------------------------------------------------------

AOTITorchError aoti_torch_empty_strided(int64_t ndim, const int64_t* sizes_ptr, const int64_t* strides_ptr,
                                        int32_t dtype, int32_t device_type, int32_t, AtenTensorHandle* ret_new_tensor) {
  return guard(__func__, [&] {
    require_cpu(device_type);
    *ret_new_tensor =
        give(empty_strided(dims(sizes_ptr, ndim), dims(strides_ptr, ndim), static_cast<ScalarType>(dtype)));
  });
}

// Pinned memory serves transfers to a GPU; on the CPU all memory is alike.
AOTITorchError aoti_torch_empty_strided_pinned(int64_t ndim, const int64_t* sizes_ptr, const int64_t* strides_ptr,
                                               int32_t dtype, int32_t device_type, int32_t device_index,
                                               AtenTensorHandle* ret_new_tensor) {
  return aoti_torch_empty_strided(ndim, sizes_ptr, strides_ptr, dtype, device_type, device_index, ret_new_tensor);
}

AOTITorchError aoti_torch_create_tensor_from_blob(void* data, int64_t ndim, const int64_t* sizes_ptr,
                                                  const int64_t* strides_ptr, int64_t storage_offset, int32_t dtype,
                                                  int32_t device_type, int32_t, AtenTensorHandle* ret) {
  return guard(__func__, [&] {
    require_cpu(device_type);
    *ret = give(
        borrow(data, dims(sizes_ptr, ndim), dims(strides_ptr, ndim), storage_offset, static_cast<ScalarType>(dtype)));
  });
}

AOTITorchError aoti_torch_create_tensor_from_blob_v2(void* data, int64_t ndim, const int64_t* sizes_ptr,
                                                     const int64_t* strides_ptr, int64_t storage_offset, int32_t dtype,
                                                     int32_t device_type, int32_t, AtenTensorHandle* ret,
                                                     int32_t layout, const uint8_t* opaque_metadata,
                                                     int64_t opaque_metadata_size) {
  return guard(__func__, [&] {
    require_cpu(device_type);
    Dims sizes = dims(sizes_ptr, ndim);
    if (layout == aoti_torch_layout__mkldnn()) {
      *ret = give(
          borrow_mkldnn(data, std::move(sizes), static_cast<ScalarType>(dtype), opaque_metadata, opaque_metadata_size));
      return;
    }
    require(layout == aoti_torch_layout_strided(), "layout number ", layout,
            " is not supported, only strided and mkldnn");
    *ret =
        give(borrow(data, std::move(sizes), dims(strides_ptr, ndim), storage_offset, static_cast<ScalarType>(dtype)));
  });
}

AOTITorchError aoti_torch_new_uninitialized_tensor(AtenTensorHandle* ret) {
  return guard(__func__, [&] { *ret = give({}); });
}

AOTITorchError aoti_torch_delete_tensor_object(AtenTensorHandle tensor) {
  return guard(__func__, [&] { delete tensor; });
}

// ---- sharing ------------------------------------------------------------------------------------------------

// Torch's own code that registers constants does not look at the status and goes on to use the handle: null, which
// every function here refuses, unless all went well.
AOTITorchError aoti_torch_new_tensor_handle(AtenTensorHandle orig_handle, AtenTensorHandle* new_handle) {
  *new_handle = nullptr;
  return guard(__func__, [&] {
    require(orig_handle != nullptr, "a tensor argument is null");
    *new_handle = give(orig_handle->tensor);
  });
}

AOTITorchError aoti_torch_assign_tensors(AtenTensorHandle src, AtenTensorHandle dst) {
  return guard(__func__, [&] {
    require(src != nullptr && dst != nullptr, "a tensor argument is null");
    dst->tensor = src->tensor;
  });
}

AOTITorchError aoti_torch_assign_tensors_out(AtenTensorHandle src, AtenTensorHandle* ret_dst) {
  return aoti_torch_new_tensor_handle(src, ret_dst);
}

// ---- views --------------------------------------------------------------------------------------------------

// `storage_offset` counts from the tensor's own first element.
AOTITorchError aoti_torch__reinterpret_tensor(AtenTensorHandle self, int64_t ndim, const int64_t* sizes_ptr,
                                              const int64_t* strides_ptr, int64_t storage_offset,
                                              AtenTensorHandle* ret_new_tensor) {
  return guard(__func__, [&] {
    const Tensor& base = get(self);
    *ret_new_tensor = give(view_as(base, dims(sizes_ptr, ndim), dims(strides_ptr, ndim), base.offset + storage_offset));
  });
}

AOTITorchError aoti_torch__alloc_from_pool(AtenTensorHandle self, int64_t offset_bytes, int32_t dtype, int64_t ndim,
                                           const int64_t* sizes_ptr, const int64_t* strides_ptr,
                                           AtenTensorHandle* ret_new_tensor) {
  return guard(__func__, [&] {
    Tensor pool = get(self);
    require(pool.offset == 0, "the pool starts at offset ", pool.offset, ", not 0");
    pool.dtype = static_cast<ScalarType>(dtype);
    const auto itemsize = static_cast<int64_t>(pool.itemsize());
    require(offset_bytes % itemsize == 0, "offset of ", offset_bytes, " bytes is no multiple of ", itemsize);
    *ret_new_tensor = give(view_as(pool, dims(sizes_ptr, ndim), dims(strides_ptr, ndim), offset_bytes / itemsize));
  });
}

AOTITorchError aoti_torch_as_strided(AtenTensorHandle self, const int64_t* sizes_ptr, const int64_t* strides_ptr,
                                     AtenTensorHandle* ret) {
  return guard(__func__, [&] {
    const Tensor& base = get(self);
    *ret = give(view_as(base, dims(sizes_ptr, base.dim()), dims(strides_ptr, base.dim()), base.offset));
  });
}

// ---- describing ---------------------------------------------------------------------------------------------

AOTITorchError aoti_torch_get_data_ptr(AtenTensorHandle tensor, void** ret_data_ptr) {
  return guard(__func__, [&] {
    *ret_data_ptr = get(tensor).raw();
    throw_pending();  // every model and every caller comes here before it reads what was to be computed
  });
}

AOTITorchError aoti_torch_get_storage_size(AtenTensorHandle tensor, int64_t* ret_size) {
  return guard(__func__, [&] { *ret_size = static_cast<int64_t>(get(tensor).storage.bytes()); });
}

AOTITorchError aoti_torch_get_dim(AtenTensorHandle tensor, int64_t* ret_dim) {
  return guard(__func__, [&] { *ret_dim = get(tensor).dim(); });
}

AOTITorchError aoti_torch_get_numel(AtenTensorHandle tensor, int64_t* ret_numel) {
  return guard(__func__, [&] { *ret_numel = get(tensor).numel(); });
}

AOTITorchError aoti_torch_get_storage_numel(AtenTensorHandle tensor, int64_t* ret_numel) {
  return guard(__func__, [&] {
    const Tensor& t = get(tensor);
    *ret_numel = static_cast<int64_t>(t.storage.bytes() / t.itemsize());
  });
}

AOTITorchError aoti_torch_get_sizes(AtenTensorHandle tensor, int64_t** ret_sizes) {
  return guard(__func__, [&] { *ret_sizes = const_cast<int64_t*>(get(tensor).sizes.data()); });
}

AOTITorchError aoti_torch_get_size(AtenTensorHandle tensor, int64_t d, int64_t* ret_size) {
  return guard(__func__, [&] {
    require(get(tensor).dim() > 0, "size of dim ", d, " of a tensor without dims");
    *ret_size = get(tensor).size(d);
  });
}

AOTITorchError aoti_torch_get_strides(AtenTensorHandle tensor, int64_t** ret_strides) {
  return guard(__func__, [&] { *ret_strides = const_cast<int64_t*>(get(tensor).strides.data()); });
}

AOTITorchError aoti_torch_get_stride(AtenTensorHandle tensor, int64_t d, int64_t* ret_stride) {
  return guard(__func__, [&] {
    require(get(tensor).dim() > 0, "stride of dim ", d, " of a tensor without dims");
    *ret_stride = get(tensor).stride(d);
  });
}

AOTITorchError aoti_torch_get_dtype(AtenTensorHandle tensor, int32_t* ret_dtype) {
  return guard(__func__, [&] { *ret_dtype = static_cast<int32_t>(get(tensor).dtype); });
}

AOTITorchError aoti_torch_get_device_type(AtenTensorHandle tensor, int32_t* ret_device_type) {
  return guard(__func__, [&] {
    get(tensor);
    *ret_device_type = aoti_torch_device_type_cpu();
  });
}

// The CPU has no index: torch says -1, and 0 for tensors made with an explicit "cpu:0", which no model makes.
AOTITorchError aoti_torch_get_device_index(AtenTensorHandle tensor, int32_t* ret_device_index) {
  return guard(__func__, [&] {
    get(tensor);
    *ret_device_index = -1;
  });
}

AOTITorchError aoti_torch_get_layout(AtenTensorHandle tensor, int32_t* ret_layout) {
  return guard(__func__, [&] { *ret_layout = static_cast<int32_t>(get(tensor).layout); });
}

AOTITorchError aoti_torch_get_storage_offset(AtenTensorHandle tensor, int64_t* ret_storage_offset) {
  return guard(__func__, [&] { *ret_storage_offset = get(tensor).offset; });
}

AOTITorchError aoti_torch_is_contiguous(AtenTensorHandle tensor, bool* ret_is_contiguous) {
  return guard(__func__, [&] { *ret_is_contiguous = get(tensor).is_contiguous(); });
}

AOTITorchError aoti_torch_is_defined(AtenTensorHandle tensor, bool* ret_is_defined) {
  return guard(__func__, [&] {
    require(tensor != nullptr, "a tensor argument is null");
    *ret_is_defined = tensor->tensor.defined();
  });
}

// ---- contents -----------------------------------------------------------------------------------------------

AOTITorchError aoti_torch_clone(AtenTensorHandle self, AtenTensorHandle* ret) {
  return guard(__func__, [&] { *ret = give(clone(get(self))); });
}

// Same strides, gaps and repetitions included.
AOTITorchError aoti_torch_clone_preserve_strides(AtenTensorHandle self, AtenTensorHandle* ret) {
  return guard(__func__, [&] {
    const Tensor& source = get(self);
    Tensor copied = empty_strided(source.sizes, source.strides, source.dtype);
    if (copied.storage.bytes() > 0) std::memcpy(copied.raw(), source.raw(), copied.storage.bytes());
    *ret = give(std::move(copied));
  });
}

AOTITorchError aoti_torch_copy_(AtenTensorHandle self, AtenTensorHandle src, int32_t) {
  return guard(__func__, [&] { copy(get(self), get(src)); });
}

AOTITorchError aoti_torch_tensor_copy_(AtenTensorHandle src, AtenTensorHandle dst) {
  return guard(__func__, [&] { copy(get(dst), get(src)); });
}

AOTITorchError aoti_torch_zero_(AtenTensorHandle self) {
  return guard(__func__, [&] { zero(get(self)); });
}
}
