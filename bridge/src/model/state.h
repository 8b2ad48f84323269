// SPDX-License-Identifier: Apache-2.0
// The buffers that a model changes: how they lie, and memory for those of one session.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "device/device.h"
#include "runtime/tensor.h"

namespace aot {

/// One buffer, as a part of a block that holds all of them.
struct StatePart {
  std::string name;  // of the container's constant
  size_t begin;
  size_t bytes;
  int32_t dtype;  // torch's number
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;
};

/// What a model's state is, and what it is at first.
class StateLayout {
 public:
  /// Adds the buffer that the container calls `name` and the module `given_name`, with what is in it now. `device` is
  /// the model's.
  void add(const std::string& name, std::string_view given_name, AtenTensorHandle buffer, const Device& device);

  const std::vector<StatePart>& parts() const { return parts_; }
  size_t bytes() const { return bytes_; }

  /// The first state, `bytes()` of it; null when it is zeros alone.
  const uint8_t* initial() const { return initial_.empty() ? nullptr : initial_.data(); }

  /// Differs between states that are no replacement for each other.
  uint64_t fingerprint() const { return fingerprint_; }

 private:
  void mix(uint64_t value);

  std::vector<StatePart> parts_;
  size_t bytes_ = 0;
  std::vector<uint8_t> initial_;
  uint64_t fingerprint_ = fnv1a("");
};

/// The state of one session, on the model's device; at first what it is in the package.
class State {
 public:
  State(const StateLayout& layout, const Device& device);

  /// Tensors over the parts, in their order.
  const std::vector<TensorHandle>& tensors() const { return tensors_; }

  /// Whether an address is inside.
  bool holds(const void* address) const;

  /// Makes it what it was at first.
  void reset();

  /// All of it, `layout.bytes()`, to and from host memory. The device must be the thread's current one.
  void read(uint8_t* destination) const;
  void write(const uint8_t* source);

 private:
  const StateLayout* layout_;
  const Device* device_;
  TensorHandle block_;
  uint8_t* data_ = nullptr;
  std::vector<TensorHandle> tensors_;
};

}  // namespace aot
