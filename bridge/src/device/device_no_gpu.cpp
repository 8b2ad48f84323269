// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"
#include "device/device_gpu.h"

namespace aot {

const Device& find_gpu(DeviceName name) {
  throw Error(AOT_MODEL_MISMATCH,
              {"a ", name.type == AOT_DEVICE_ROCM ? "ROCm" : "CUDA", " device was asked of a bridge built for the CPU"},
              {"This bundle has no GPU code."}, {"Use the device cpu, or build a bundle with --backend cuda or rocm."});
}

const char* gpu_backend() { return ""; }

}  // namespace aot
