// SPDX-License-Identifier: Apache-2.0
// One input of one call: lent to the model as it is, or copied first where the model could not take it so.
#pragma once

#include <cstdint>
#include <vector>

#include "aot_bridge.h"
#include "device/device.h"
#include "runtime/tensor.h"

namespace aot {

/// What becomes of what the model writes into an input in place.
enum class Writes {
  kNone,    // it writes nothing
  kHidden,  // it may write; the caller's memory must stay as it is
  kSeen,    // it may write, and changes the caller's memory
};

class Input {
 public:
  /// `view` must have passed check_view(). With `c_order` an input in another order is copied; a misaligned one always
  /// is, and host memory for a GPU, and what has hidden writes. Throws AOT_USAGE for memory on a device that the model
  /// cannot read.
  Input(const aot_view& view, const char* name, const Device& device, bool c_order, Writes writes);

  /// The tensor for the model, which takes it over.
  AtenTensorHandle take_handle() { return handle_.release(); }

  /// Whether `address` is inside the memory that the caller lent.
  bool lends(const void* address) const;

  /// After the run: if the model changed its copy of the input in place, changes the caller's memory alike. (Not from a
  /// GPU back to host memory: Python has no such call to behave like.)
  void write_back() const;

 private:
  aot_view view_;
  Writes writes_;
  Dtype dtype_{};
  TensorHandle handle_;
  TensorHandle copy_;  // a second reference to what the model gets, when that is a copy
  const uint8_t* lent_begin_ = nullptr;
  const uint8_t* lent_end_ = nullptr;
};

}  // namespace aot
