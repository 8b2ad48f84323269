// SPDX-License-Identifier: Apache-2.0
// CUDA's and HIP's functions are taken from the very runtime that torch brings along: a second copy of it in one
// process would not see the first one's memory.
#include "device/device_gpu.h"

#include <dlfcn.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/library.h"
#include "base/single_file.h"
#include "base/stopwatch.h"
#include "base/text.h"
#include "device/gpu_abi.h"

#if defined(AOT_GPU_ROCM)
#define AOT_GPU(name) "hip" name
#else
#define AOT_GPU(name) "cuda" name
#endif

namespace aot {
namespace {

#if defined(AOT_GPU_ROCM)
constexpr const char* kBackend = "rocm";
constexpr const char* kTorchLibrary = "libc10_hip.so";
constexpr int32_t kType = AOT_DEVICE_ROCM;
#else
constexpr const char* kBackend = "cuda";
constexpr const char* kTorchLibrary = "libc10_cuda.so";
constexpr int32_t kType = AOT_DEVICE_CUDA;
#endif

/// What a GPU says of itself.
struct Description {
  std::string name;
  std::string architecture;  // such as sm_90 or gfx90a
};

#if defined(AOT_GPU_ROCM)
/// ROCm's user-space half travels in the bundle.
void load_driver() {}
#else
/// Where containers, WSL and NixOS keep the driver's libraries. The loader does not look there by itself: such systems
/// name the folder in LD_LIBRARY_PATH, which our launcher drops.
constexpr const char* kDriverFolders[] = {"/usr/local/nvidia/lib64", "/usr/local/nvidia/lib", "/usr/lib/wsl/lib",
                                          "/run/opengl-driver/lib"};

/// Loads the driver's library for good, wherever it is; all who ask for it by name later get this one. Without a driver
/// it does nothing, and the first call into the runtime says so.
void load_driver() {
  constexpr const char* kDriver = "libcuda.so.1";
  if (dlopen(kDriver, RTLD_LAZY | RTLD_GLOBAL) != nullptr) return;
  for (const char* folder : kDriverFolders) {
    const auto path_of = [&](const char* name) { return std::string(folder) + '/' + name; };
    if (!exists(path_of(kDriver)) || dlopen(path_of(kDriver).c_str(), RTLD_LAZY | RTLD_GLOBAL) == nullptr) continue;
    // These it opens by name when it needs them: the compiler of PTX, and the management library.
    for (const char* name : {"libnvidia-ptxjitcompiler.so.1", "libnvidia-ml.so.1"}) {
      dlopen(path_of(name).c_str(), RTLD_LAZY | RTLD_GLOBAL);
    }
    return;
  }
}
#endif

/// The GPU's runtime library.
struct Api : GpuFunctions {
  /// Loads torch's GPU library on the first call. Throws AOT_DAMAGED when the bundle has none.
  static const Api& get() {
    static const Api api;
    return api;
  }

  void check(GpuStatus status, const char* doing) const {
    if (status == kGpuSuccess) return;
    throw Error(AOT_FAILED, {"the GPU failed while ", doing, ": ", get_error_string(status), " (code ", status, ")"},
                {"The error may come from work that was given to the GPU earlier."}, {"Run: aotrun doctor"});
  }

  Description describe(int32_t index) const {
    constexpr const char* kDoing = "describing itself";
    GpuProperties properties{};
    check(get_device_properties(&properties, index), kDoing);
#if defined(AOT_GPU_ROCM)
    const std::string architecture = reinterpret_cast<const char*>(&properties) + architecture_;
    return {properties.name, architecture.substr(0, architecture.find(':'))};
#else
    int major = 0;
    int minor = 0;
    check(get_attribute(&major, kCudaComputeCapabilityMajor, index), kDoing);
    check(get_attribute(&minor, kCudaComputeCapabilityMinor, index), kDoing);
    return {properties.name, concat({"sm_", major, minor})};
#endif
  }

 private:
  Api() {
    load_driver();
    const Library library = load_for_good(kTorchLibrary);
    bind(library, AOT_GPU("GetDeviceCount"), get_device_count);
    bind(library, AOT_GPU("SetDevice"), set_device);
    bind(library, AOT_GPU("DeviceSynchronize"), device_synchronize);
    bind(library, AOT_GPU("MemGetInfo"), mem_get_info);
    bind(library, AOT_GPU("Memcpy"), memcpy);
    bind(library, AOT_GPU("Malloc"), malloc);
    bind(library, AOT_GPU("Free"), free);
    bind(library, AOT_GPU("GetErrorString"), get_error_string);
#if defined(AOT_GPU_ROCM)
    for (const HipProperties& layout : kHipProperties) {
      if (get_device_properties != nullptr) break;
      bind_if_present(library, layout.function, get_device_properties);
      architecture_ = layout.architecture;
    }
    if (get_device_properties == nullptr) library.require(kHipProperties[0].function);
#else
    bind(library, AOT_GPU("GetDeviceProperties"), get_device_properties);
    bind(library, AOT_GPU("DeviceGetAttribute"), get_attribute);
#endif
  }

#if defined(AOT_GPU_ROCM)
  size_t architecture_ = 0;  // in what get_device_properties fills
#endif
};

class GpuDevice final : public Device {
 public:
  explicit GpuDevice(int32_t index) : index_(index) {}

  aot_device id() const override { return {kType, index_}; }

  std::string torch_name() const override { return concat({"cuda:", index_}); }

  bool can_borrow(aot_device other) const override {
    // torch's own tensors on ROCm call themselves cuda.
    const bool is_gpu = other.type == kType || (kType == AOT_DEVICE_ROCM && other.type == AOT_DEVICE_CUDA);
    return is_gpu && other.index == index_;
  }

  std::string architecture() const override { return api_.describe(index_).architecture; }

  void activate() const override { api_.check(api_.set_device(index_), "choosing the device"); }

  void synchronize() const override { api_.check(api_.device_synchronize(), "working"); }

  void copy_from_host(void* device, const void* host, size_t bytes) const override {
    api_.check(api_.memcpy(device, host, bytes, kGpuHostToDevice), "copying from the host");
  }

  void copy_to_host(void* host, const void* device, size_t bytes) const override {
    api_.check(api_.memcpy(host, device, bytes, kGpuDeviceToHost), "copying to the host");
  }

  DeviceMemory memory() const override {
    size_t free = 0;
    size_t total = 0;
    api_.check(api_.mem_get_info(&free, &total), "telling how much memory is free");
    return {total - free, total};
  }

  void self_test(aot_device_report* report) const override {
    const Stopwatch watch;
    activate();
    const Description known = api_.describe(index_);
    int count = 0;
    api_.check(api_.get_device_count(&count), "counting devices");
    round_trip();
    const DeviceMemory now = memory();
    report->num_devices = static_cast<uint32_t>(count);
    report->used_bytes = now.used_bytes;
    report->total_bytes = now.total_bytes;
    set_text(report->name, known.name);
    set_text(report->architecture, known.architecture);
    report->self_test_ms = watch.milliseconds();
  }

 private:
  void round_trip() const {
    std::vector<unsigned char> pattern(1 << 20);
    for (size_t i = 0; i < pattern.size(); ++i) pattern[i] = static_cast<unsigned char>(i * 131U);
    void* memory = nullptr;
    api_.check(api_.malloc(&memory, pattern.size()), "allocating memory");
    const std::unique_ptr<void, decltype(api_.free)> owner(memory, api_.free);
    copy_from_host(memory, pattern.data(), pattern.size());
    synchronize();
    std::vector<unsigned char> returned(pattern.size());
    copy_to_host(returned.data(), memory, returned.size());
    if (returned != pattern) {
      throw Error(AOT_MACHINE_MISMATCH, {to_string(id()), " did not give back what was written to its memory"},
                  {"This GPU cannot be trusted with any computation."}, {"Test it with the vendor's tools."});
    }
  }

  const Api& api_ = Api::get();
  int32_t index_;
};

}  // namespace

const Device& find_gpu(DeviceName name) {
  const bool is_ours = name.type == kType || kType == AOT_DEVICE_ROCM;
  if (!is_ours) {
    throw Error(AOT_MODEL_MISMATCH, {"a ROCm device was asked of a bundle built for ", kBackend},
                {"A bundle serves one kind of GPU."}, {"Use the device ", kBackend, "."});
  }
  const Api& api = Api::get();
  int count = 0;
  const GpuStatus status = api.get_device_count(&count);
  if (status != kGpuSuccess || count == 0) {
    throw Error(AOT_MACHINE_MISMATCH,
                {"there is no ", kBackend, " device here", status == kGpuSuccess ? "" : ": ",
                 status == kGpuSuccess ? "" : api.get_error_string(status)},
                {"This machine has no such GPU, or its driver is missing or too old."}, {"Run: aotrun doctor"});
  }
  const int32_t index = name.index < 0 ? 0 : name.index;
  if (index >= count) {
    throw Error(AOT_MACHINE_MISMATCH, {"there is no device ", kBackend, ":", index, "; this machine has ", count},
                {"Devices count from 0, after what CUDA_VISIBLE_DEVICES or HIP_VISIBLE_DEVICES leave."},
                {"Use ", kBackend, ":0", count > 1 ? concat({" to ", count - 1}) : "", "."});
  }
  static std::mutex mutex;
  static std::vector<std::unique_ptr<const GpuDevice>> devices;
  const std::lock_guard<std::mutex> lock(mutex);
  while (devices.size() <= static_cast<size_t>(index)) {
    devices.push_back(std::make_unique<const GpuDevice>(static_cast<int32_t>(devices.size())));
  }
  return *devices[static_cast<size_t>(index)];
}

const char* gpu_backend() { return kBackend; }

}  // namespace aot
