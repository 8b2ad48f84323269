// SPDX-License-Identifier: Apache-2.0
// GPUs, when this build has them: device_gpu.cpp for CUDA and HIP, device_no_gpu.cpp for neither.
#pragma once

#include "device/device.h"

namespace aot {

/// Throws AOT_MACHINE_MISMATCH when there is no such GPU, or when this build serves another kind.
const Device& find_gpu(DeviceName name);

/// "cuda", "rocm" or "": what this build serves beside the CPU.
const char* gpu_backend();

}  // namespace aot
