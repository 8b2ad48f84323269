// SPDX-License-Identifier: Apache-2.0
#include "device/device.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "base/cpu_features.h"
#include "base/error.h"
#include "base/stopwatch.h"
#include "base/text.h"
#include "device/device_gpu.h"

namespace aot {
namespace {

class CpuDevice final : public Device {
 public:
  aot_device id() const override { return {AOT_DEVICE_CPU, 0}; }
  std::string torch_name() const override { return "cpu"; }
  std::string architecture() const override { return {}; }
  bool can_borrow(aot_device other) const override { return other.type == AOT_DEVICE_CPU; }
  void activate() const override {}
  void synchronize() const override {}
  void copy_from_host(void* device, const void* host, size_t bytes) const override { std::memcpy(device, host, bytes); }
  void copy_to_host(void* host, const void* device, size_t bytes) const override { std::memcpy(host, device, bytes); }
  DeviceMemory memory() const override { return {}; }

  void self_test(aot_device_report* report) const override {
    const Stopwatch watch;
    std::vector<unsigned char> pattern(1 << 20);
    for (size_t i = 0; i < pattern.size(); ++i) pattern[i] = static_cast<unsigned char>(i * 131U);
    std::vector<unsigned char> copy(pattern.size());
    copy_from_host(copy.data(), pattern.data(), pattern.size());
    if (std::memcmp(copy.data(), pattern.data(), pattern.size()) != 0) {
      throw Error(AOT_MACHINE_MISMATCH, {"the CPU's memory did not keep what was written to it"},
                  {"This machine cannot be trusted with any computation."}, {"Test its memory."});
    }
    report->num_devices = 1;
    set_text(report->name, cpu_brand());
    // Whole names only: a feature cut in half would read as another one.
    std::string features;
    for (const std::string& feature : cpu_features()) {
      if (features.size() + feature.size() + 2 > sizeof report->architecture) break;
      features += (features.empty() ? "" : " ") + feature;
    }
    set_text(report->architecture, features);
    report->self_test_ms = watch.milliseconds();
  }
};

struct Kind {
  std::string_view name;
  int32_t type;
};
constexpr Kind kKinds[] = {{"cpu", AOT_DEVICE_CPU}, {"cuda", AOT_DEVICE_CUDA}, {"rocm", AOT_DEVICE_ROCM}};

/// LLVM's generic targets and the GPUs of each: those of aotpack_doctor/base/gpu_code.py.
struct GenericTarget {
  std::string_view name;
  std::array<std::string_view, 9> gpus;
};
constexpr GenericTarget kGenericTargets[] = {
    {"gfx9-generic", {"gfx900", "gfx902", "gfx904", "gfx906", "gfx909", "gfx90c"}},
    {"gfx9-4-generic", {"gfx940", "gfx941", "gfx942", "gfx950"}},
    {"gfx10-1-generic", {"gfx1010", "gfx1011", "gfx1012", "gfx1013"}},
    {"gfx10-3-generic", {"gfx1030", "gfx1031", "gfx1032", "gfx1033", "gfx1034", "gfx1035", "gfx1036"}},
    {"gfx11-generic",
     {"gfx1100", "gfx1101", "gfx1102", "gfx1103", "gfx1150", "gfx1151", "gfx1152", "gfx1153", "gfx1154"}},
    {"gfx11-7-generic", {"gfx1170", "gfx1171", "gfx1172"}},
    {"gfx12-generic", {"gfx1200", "gfx1201"}},
    {"gfx12-5-generic", {"gfx1250", "gfx1251"}},
    {"gfx13-generic", {"gfx1310"}},
};

bool is_generic_for(std::string_view code, std::string_view gpu) {
  for (const GenericTarget& target : kGenericTargets) {
    if (target.name != code) continue;
    return !gpu.empty() && std::find(target.gpus.begin(), target.gpus.end(), gpu) != target.gpus.end();
  }
  return false;
}

/// "90a": 9.0, for that alone.
struct CudaArch {
  int32_t number = 0;  // 10 * major + minor; 0 where there is none
  char suffix = '\0';
};

CudaArch parse_cuda_arch(std::string_view text) {
  CudaArch arch;
  size_t digits = 0;
  for (; digits < text.size() && digits < 4 && text[digits] >= '0' && text[digits] <= '9'; ++digits) {
    arch.number = arch.number * 10 + (text[digits] - '0');
  }
  if (digits < text.size()) arch.suffix = text[digits];
  return arch;
}

}  // namespace

DeviceName parse_device(std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view kind_name = text.substr(0, colon);
  for (const Kind& kind : kKinds) {
    if (kind.name != kind_name) continue;
    if (colon == std::string_view::npos) return {kind.type, -1};
    const std::string_view digits = text.substr(colon + 1);
    const bool is_number =
        !digits.empty() && digits.size() <= 4 && digits.find_first_not_of("0123456789") == std::string_view::npos;
    if (!is_number) break;
    return {kind.type, static_cast<int32_t>(std::stoi(std::string(digits)))};
  }
  throw usage_error({"\"", text, "\" is not a device"},
                    {"A device is cpu, cuda or rocm, for a GPU with an index if there are several."},
                    {"Use cpu, cuda, cuda:1, rocm or rocm:1."});
}

std::string to_string(aot_device device) {
  for (const Kind& kind : kKinds) {
    if (kind.type != device.type) continue;
    if (device.type == AOT_DEVICE_CPU) return "cpu";
    return concat({kind.name, ":", device.index});
  }
  return concat({"DLPack device ", device.type, ":", device.index});
}

int32_t gpu_code_rank(std::string_view code, std::string_view gpu) {
  constexpr std::string_view kGpu = "sm_";
  constexpr std::string_view kPtx = "compute_";
  constexpr int32_t kMachineCode = 10000;
  code = code.substr(0, code.find(':'));
  const bool is_ptx = starts_with(code, kPtx);
  if (!starts_with(gpu, kGpu) || !(is_ptx || starts_with(code, kGpu))) {
    if (code == gpu) return kMachineCode + 1;
    return is_generic_for(code, gpu) ? kMachineCode : 0;
  }
  const CudaArch theirs = parse_cuda_arch(code.substr(is_ptx ? kPtx.size() : kGpu.size()));
  const CudaArch ours = parse_cuda_arch(gpu.substr(kGpu.size()));
  if (theirs.number == 0 || ours.number < theirs.number) return 0;
  // The last digit is the minor version: machine code runs on its own and later ones of the same major, code with an
  // "a" on its own alone, with an "f" on its family, and PTX without either on all that is newer.
  const bool is_same_major = theirs.number / 10 == ours.number / 10;
  if (theirs.suffix == 'a' && theirs.number != ours.number) return 0;
  if (!is_same_major && (!is_ptx || theirs.suffix != '\0')) return 0;
  return theirs.number + (is_ptx ? 0 : kMachineCode);
}

const Device& find_device(DeviceName name) {
  if (name.type != AOT_DEVICE_CPU) return find_gpu(name);
  if (name.index > 0) {
    throw usage_error({"there is no device cpu:", name.index}, {"A machine has one CPU device."}, {"Use cpu."});
  }
  static const CpuDevice cpu;
  return cpu;
}

}  // namespace aot
