// SPDX-License-Identifier: Apache-2.0
// Devices by name, and the few things that differ between the CPU and a GPU: one strategy each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "aot_bridge.h"

namespace aot {

/// Index -1 stands for "not said".
struct DeviceName {
  int32_t type;
  int32_t index;
};

/// Reads "cpu", "cuda", "cuda:1", "rocm", "rocm:1". Throws AOT_USAGE.
DeviceName parse_device(std::string_view text);

/// "cpu", "cuda:0", "rocm:1"
std::string to_string(aot_device device);

struct DeviceMemory {
  uint64_t used_bytes = 0;
  uint64_t total_bytes = 0;
};

/// What the rest of the bridge asks of a device. Functions throw aot::Error.
class Device {
 public:
  Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  virtual ~Device() = default;

  virtual aot_device id() const = 0;

  /// torch's name for it; a ROCm device is "cuda:N" there.
  virtual std::string torch_name() const = 0;

  /// Whether memory of `other` can be handed to a model on this device as it is.
  virtual bool can_borrow(aot_device other) const = 0;

  /// What it executes: "sm_90", "gfx90a"; "" for the CPU.
  virtual std::string architecture() const = 0;

  /// Makes it the calling thread's current device.
  virtual void activate() const = 0;

  /// Waits until all work given to it is done.
  virtual void synchronize() const = 0;

  virtual void copy_from_host(void* device, const void* host, size_t bytes) const = 0;
  virtual void copy_to_host(void* host, const void* device, size_t bytes) const = 0;

  virtual DeviceMemory memory() const = 0;

  /// Fills everything but `struct_size`; moves memory there and back.
  virtual void self_test(aot_device_report* report) const = 0;
};

/// Fills a report's text, cut to what fits.
template <size_t Size>
void set_text(char (&field)[Size], std::string_view text) {
  field[text.copy(field, Size - 1)] = '\0';
}

/// How well code for one architecture ("sm_80", "sm_90a", "gfx90a:xnack+", "gfx11-generic", the PTX "compute_80") suits
/// a GPU of another ("sm_86", "gfx90a"): the more the better, and 0 where it does not run. Machine code comes before
/// PTX, which the driver compiles when it loads it, newer code before older, and a GPU's own before its generic one.
int32_t gpu_code_rank(std::string_view code, std::string_view gpu);

/// The device that `name` stands for on this machine. Throws AOT_USAGE when the name makes no sense,
/// AOT_MACHINE_MISMATCH when the machine or this build has no such device. Lives as long as the process.
const Device& find_device(DeviceName name);

}  // namespace aot
