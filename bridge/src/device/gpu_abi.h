// SPDX-License-Identifier: Apache-2.0
// The runtimes of CUDA and HIP, as far as the bridge uses them. They are one API with two prefixes.
//
// Declared here, as torch's interface is in torch_abi.h: a wheel of torch brings the runtime's library along but not
// its headers, and whoever has torch and a compiler has all that a bundle takes. bridge/tests/gpu_abi_test.cpp includes
// the real headers beside this one: where they differ, it does not compile.
#pragma once

#include <cstddef>
#include <cstdint>

namespace aot {

/// An enumeration in the headers.
using GpuStatus = int32_t;
constexpr GpuStatus kGpuSuccess = 0;

/// Ways of a copy.
constexpr int32_t kGpuHostToDevice = 1;
constexpr int32_t kGpuDeviceToHost = 2;

/// Attributes of a CUDA device.
constexpr int32_t kCudaComputeCapabilityMajor = 75;
constexpr int32_t kCudaComputeCapabilityMinor = 76;

/// What a device says of itself: a struct that differs between versions, and that is longer in none of them. The name
/// comes first in all.
struct GpuProperties {
  char name[256];
  char others[3840];
};

/// Where a HIP device's properties have its architecture, such as gfx90a:sramecc+:xnack-, and the function that fills
/// them in that order: HIP 6 and newer have both, HIP 5 has the second.
struct HipProperties {
  const char* function;
  size_t architecture;  // bytes from the start
};
constexpr HipProperties kHipProperties[] = {{"hipGetDevicePropertiesR0600", 1160}, {"hipGetDeviceProperties", 396}};

/// Functions of the runtime's library, under the names that CUDA and HIP share.
struct GpuFunctions {
  GpuStatus (*get_device_count)(int* count) = nullptr;
  GpuStatus (*set_device)(int device) = nullptr;
  GpuStatus (*device_synchronize)() = nullptr;
  GpuStatus (*mem_get_info)(size_t* free, size_t* total) = nullptr;
  GpuStatus (*memcpy)(void* target, const void* source, size_t bytes, int32_t way) = nullptr;
  GpuStatus (*malloc)(void** memory, size_t bytes) = nullptr;
  GpuStatus (*free)(void* memory) = nullptr;
  const char* (*get_error_string)(GpuStatus status) = nullptr;
  GpuStatus (*get_device_properties)(GpuProperties* properties, int device) = nullptr;
  GpuStatus (*get_attribute)(int* value, int32_t attribute, int device) = nullptr;  // CUDA alone
};

}  // namespace aot
