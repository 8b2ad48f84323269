// SPDX-License-Identifier: Apache-2.0
// Tensors of the runtime: handles, and the views that callers lend as such.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "aot_bridge.h"
#include "base/dtype.h"
#include "base/torch_abi.h"
#include "base/view.h"

namespace aot {
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

/// Memory as torch describes it.
struct Memory {
  void* data;
  const int64_t* shape;
  int32_t ndim;
  const int64_t* strides;
  int64_t offset;  // of the first element, in elements
  int32_t dtype;   // torch's number
  aot_device device;
};

/// The same for memory in a layout of its own: as oneDNN packed it where its descriptor is given, in bytes.
TensorHandle borrow_memory(const Memory& memory, const std::string* descriptor);

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

/// An output. Keeps the model's container alive, as its memory may be one of the model's constants.
struct aot_tensor {
  explicit aot_tensor(std::shared_ptr<const void> container) : owner(std::move(container)) {}

  /// Makes `view` that of the handle's tensor; `gpu` is where it is if it is not on the CPU.
  void describe(aot_device gpu);

  std::shared_ptr<const void> owner;  // destroyed after the handle
  aot::TensorHandle handle;
  aot_view view{};  // shape and strides are the handle's own
};
