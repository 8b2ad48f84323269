// SPDX-License-Identifier: Apache-2.0
#include "model/input.h"

#include <cstdint>

#include "base/error.h"
#include "runtime/runtime.h"

namespace aot {
namespace {

/// GPU kernels are compiled for 16-byte alignment; CPU code for that of the element, which compilers rely on when they
/// vectorise.
size_t needed_alignment(Dtype dtype, const aot_view& view) {
  if (view.device.type != AOT_DEVICE_CPU) return 16;
  const bool is_complex = dlpack_of(dtype).code == AOT_COMPLEX;
  return is_complex ? size_of(dtype) / 2 : size_of(dtype);
}

bool is_aligned(Dtype dtype, const aot_view& view) {
  return reinterpret_cast<uintptr_t>(first_byte(view)) % needed_alignment(dtype, view) == 0;
}

/// Bytes from the first element to the end of the last one.
size_t extent(const aot_view& view, size_t size) {
  int64_t last = 0;
  if (view.strides == nullptr) last = count_elements(view.shape, view.ndim) - 1;
  for (int32_t i = 0; view.strides != nullptr && i < view.ndim; ++i) last += (view.shape[i] - 1) * view.strides[i];
  return static_cast<size_t>(last + 1) * size;
}

}  // namespace

Input::Input(const aot_view& view, const char* name, const Device& device, bool c_order, Writes writes)
    : view_(view), writes_(writes) {
  dtype_from_dlpack(view.dtype, &dtype_);
  const size_t size = size_of(dtype_);
  const bool is_host = view.device.type == AOT_DEVICE_CPU;
  const bool can_borrow = device.can_borrow(view.device);
  if (!can_borrow && !is_host) {
    throw usage_error(
        {"input \"", name, "\" is on ", to_string(view.device), "; the model runs on ", to_string(device.id())},
        {"The model can read memory of its own device and of the host."}, {"Copy the input there first."});
  }
  const int64_t elements = count_elements(view.shape, view.ndim);
  if (elements == 0) {
    handle_ = allocate(dtype_, view.shape, view.ndim, device.id());
    return;
  }
  const bool in_order = is_contiguous(view);
  if (can_borrow) {
    lent_begin_ = first_byte(view);
    lent_end_ = lent_begin_ + extent(view, size);
  }
  if (can_borrow && writes != Writes::kHidden && is_aligned(dtype_, view) && (in_order || !c_order)) {
    handle_ = borrow(view);
    return;
  }

  if (!is_host) {
    copy_ = contiguous_copy(view_);
  } else {
    copy_ = allocate(dtype_, view.shape, view.ndim, device.id());
    if (can_borrow) {
      copy_strided(data_of(copy_), nullptr, first_byte(view), view.strides, view.shape, view.ndim, size);
    } else if (in_order) {
      device.copy_from_host(data_of(copy_), first_byte(view), static_cast<size_t>(elements) * size);
    } else {
      std::vector<uint8_t> packed(static_cast<size_t>(elements) * size);
      copy_strided(packed.data(), nullptr, first_byte(view), view.strides, view.shape, view.ndim, size);
      device.copy_from_host(data_of(copy_), packed.data(), packed.size());
    }
  }
  handle_ = share(copy_);
}

bool Input::lends(const void* address) const { return address >= lent_begin_ && address < lent_end_; }

void Input::write_back() const {
  if (writes_ != Writes::kSeen || copy_.get() == nullptr || lent_begin_ == nullptr) return;
  if (view_.device.type != AOT_DEVICE_CPU) {
    const Runtime& runtime = Runtime::get();
    runtime.check(runtime.aoti_torch_copy_(borrow(view_).get(), copy_.get(), /*non_blocking=*/0), "updating an input");
    return;
  }
  // Compared first: the caller's memory may be read-only, and most models change nothing.
  const size_t size = size_of(dtype_);
  if (equal_strided(first_byte(view_), view_.strides, data_of(copy_), nullptr, view_.shape, view_.ndim, size)) return;
  copy_strided(first_byte(view_), view_.strides, data_of(copy_), nullptr, view_.shape, view_.ndim, size);
}

}  // namespace aot
