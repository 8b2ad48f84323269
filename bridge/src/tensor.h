// SPDX-License-Identifier: Apache-2.0
// Tensors on both sides of the bridge: views that callers lend, and handles that the runtime owns.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "aot_bridge.h"
#include "dtype.h"
#include "torch_abi.h"

namespace aot {

class Container;

/// More than any tensor that torch makes; keeps shapes on the stack.
constexpr int32_t kMaxDims = 64;

/// Product of the sizes. Throws AOT_USAGE on overflow or on a negative size.
int64_t count_elements(const int64_t* shape, int32_t ndim);

/// Strides, in elements, of a C-ordered tensor: what torch gives to a fresh tensor of this shape, sizes of 0 counting
/// as
/// 1. On the stack, since every call makes some.
struct CStrides {
  CStrides(const int64_t* shape, int32_t ndim);
  int64_t values[kMaxDims];
};

/// Whether elements follow one another in C order. Strides of dims of size 1, and all strides of an empty tensor, do
/// not matter.
bool is_contiguous(const aot_view& view);

/// The first element.
inline uint8_t* first_byte(const aot_view& view) { return static_cast<uint8_t*>(view.data) + view.byte_offset; }

/// Copies between two strided tensors of one shape, `size` bytes an element, all in host memory. Null strides mean C
/// order.
void copy_strided(void* destination, const int64_t* destination_strides, const void* source,
                  const int64_t* source_strides, const int64_t* shape, int32_t ndim, size_t size);

/// Whether two such tensors hold the same bytes.
bool equal_strided(const void* left, const int64_t* left_strides, const void* right, const int64_t* right_strides,
                   const int64_t* shape, int32_t ndim, size_t size);

/// A reference to a tensor of the runtime, given back when it goes out of scope.
class TensorHandle {
 public:
  TensorHandle() = default;
  explicit TensorHandle(AtenTensorHandle handle) : handle_(handle) {}
  TensorHandle(TensorHandle&& other) noexcept : handle_(other.release()) {}
  TensorHandle& operator=(TensorHandle&& other) noexcept;
  ~TensorHandle();

  AtenTensorHandle get() const { return handle_; }
  AtenTensorHandle release();

 private:
  AtenTensorHandle handle_ = nullptr;
};

/// A tensor over memory that stays the caller's. The dtype must be one of ours.
TensorHandle borrow(const aot_view& view);

/// The same with an offset, in elements, of the first element in the memory at `view.data`, and the strides as they
/// are.
TensorHandle borrow_storage(const aot_view& view, int64_t offset);

/// The same for a tensor that oneDNN has packed as a descriptor says, in the bytes of torch's oneDNN.
TensorHandle borrow_packed(const aot_view& view, const std::string& descriptor);

/// A C-ordered tensor with memory of its own, not initialised.
TensorHandle allocate(Dtype dtype, const int64_t* shape, int32_t ndim, aot_device device);

/// A second reference to the same tensor.
TensorHandle share(const TensorHandle& tensor);

/// A tensor with memory of its own and the same elements.
TensorHandle clone(const TensorHandle& tensor);

/// A tensor with the same elements in C order, on the same device.
TensorHandle contiguous_copy(const aot_view& view);

/// Writes the elements in C order to `bytes` of host memory, from whatever device they are on. `bytes` must be their
/// size.
void copy_to_host(const aot_view& view, void* destination, size_t bytes);

/// Address of a tensor's first element.
void* data_of(const TensorHandle& tensor);

}  // namespace aot

/// An output. Keeps its model's container alive, since the memory may be one of the model's constants.
struct aot_tensor {
  aot_tensor(aot::TensorHandle tensor, aot_device gpu, std::shared_ptr<const aot::Container> model);

  std::shared_ptr<const aot::Container> container;  // destroyed after the handle
  aot::TensorHandle handle;
  aot_view view{};  // shape and strides are the handle's own
};
