// SPDX-License-Identifier: Apache-2.0
#include "model/state.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/dtype.h"
#include "runtime/runtime.h"

namespace aot {

namespace {

/// Of each part's beginning; AOTInductor's own constants have it.
constexpr size_t kPartAlignment = 64;

}  // namespace

void StateLayout::mix(uint64_t value) {
  fingerprint_ = fnv1a({reinterpret_cast<const char*>(&value), sizeof value}, fingerprint_);
}

void StateLayout::add(const std::string& name, std::string_view given_name, AtenTensorHandle buffer,
                      const Device& device) {
  const Runtime& runtime = Runtime::get();
  constexpr const char* kDoing = "describing the model's state";
  int64_t ndim = 0;
  int64_t* sizes = nullptr;
  int64_t* steps = nullptr;
  void* data = nullptr;
  StatePart part;
  part.name = name;
  runtime.check(runtime.aoti_torch_get_dim(buffer, &ndim), kDoing);
  runtime.check(runtime.aoti_torch_get_sizes(buffer, &sizes), kDoing);
  runtime.check(runtime.aoti_torch_get_strides(buffer, &steps), kDoing);
  runtime.check(runtime.aoti_torch_get_dtype(buffer, &part.dtype), kDoing);
  runtime.check(runtime.aoti_torch_get_data_ptr(buffer, &data), kDoing);
  part.shape.assign(sizes, sizes + ndim);
  part.strides.assign(steps, steps + ndim);
  int64_t last = 0;
  bool is_empty = false;
  for (size_t i = 0; i < part.shape.size(); ++i) {
    is_empty = is_empty || part.shape[i] == 0;
    last += (part.shape[i] - 1) * part.strides[i];
  }
  part.bytes = is_empty ? 0 : static_cast<size_t>(last + 1) * runtime.aoti_torch_dtype_element_size(part.dtype);
  part.begin = (bytes_ + kPartAlignment - 1) / kPartAlignment * kPartAlignment;
  for (const char c : given_name) mix(static_cast<uint8_t>(c));
  mix(static_cast<uint64_t>(part.dtype));
  for (const int64_t size : part.shape) mix(static_cast<uint64_t>(size));
  for (const int64_t step : part.strides) mix(static_cast<uint64_t>(step));

  std::vector<uint8_t> now(part.bytes);
  if (part.bytes > 0) device.copy_to_host(now.data(), data, part.bytes);
  const bool is_zero = std::all_of(now.begin(), now.end(), [](uint8_t byte) { return byte == 0; });
  bytes_ = part.begin + part.bytes;
  if (!is_zero || !initial_.empty()) initial_.resize(bytes_);
  if (!is_zero) std::memcpy(initial_.data() + part.begin, now.data(), part.bytes);
  parts_.push_back(std::move(part));
}

State::State(const StateLayout& layout, const Device& device) : layout_(&layout), device_(&device) {
  if (layout.bytes() > 0) {
    const auto size = static_cast<int64_t>(layout.bytes());
    block_ = allocate(Dtype::UInt8, &size, 1, device.id());
    data_ = static_cast<uint8_t*>(data_of(block_));
  }
  for (const StatePart& part : layout.parts()) {
    // NOLINTNEXTLINE(clang-analyzer-core.NullPointerArithm): without memory they all begin at 0
    tensors_.push_back(borrow_memory({data_ + part.begin, part.shape.data(), static_cast<int32_t>(part.shape.size()),
                                      part.strides.data(), 0, part.dtype, device.id()},
                                     nullptr));
  }
  reset();
}

bool State::holds(const void* address) const {
  return data_ != nullptr && address >= data_ && address < data_ + layout_->bytes();
}

void State::reset() {
  if (layout_->initial() != nullptr) {
    write(layout_->initial());
  } else if (layout_->bytes() > 0) {
    write(std::vector<uint8_t>(layout_->bytes()).data());
  }
}

void State::read(uint8_t* destination) const {
  if (layout_->bytes() > 0) device_->copy_to_host(destination, data_, layout_->bytes());
}

void State::write(const uint8_t* source) {
  if (layout_->bytes() > 0) device_->copy_from_host(data_, source, layout_->bytes());
}

}  // namespace aot
