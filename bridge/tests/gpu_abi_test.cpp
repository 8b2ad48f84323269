// SPDX-License-Identifier: Apache-2.0
// The bridge's declarations of a GPU runtime against those of the vendor's headers: a difference is a compile error.
// Compiled alone, with AOT_GPU_ROCM for HIP, wherever headers can be had (tests/integration).
#include <string_view>
#include <type_traits>

#if defined(AOT_GPU_ROCM)
#include <hip/hip_runtime_api.h>
#define GPU(name) hip##name
using RealProperties = hipDeviceProp_t;
#else
#include <cuda_runtime_api.h>
#define GPU(name) cuda##name
using RealProperties = cudaDeviceProp;
#endif

#include "device/gpu_abi.h"

namespace {

using namespace aot;

/// A type as it is passed: enumerations are numbers, the properties are ours.
template <class Type, bool = std::is_enum_v<Type>>
struct Passed {
  using type = Type;
};
template <class Type>
struct Passed<Type, true> {
  static_assert(sizeof(Type) == sizeof(int32_t));
  using type = int32_t;
};
template <>
struct Passed<RealProperties*> {
  using type = GpuProperties*;
};

template <class Result, class... Arguments>
auto passed(Result (*)(Arguments...)) -> typename Passed<Result>::type (*)(typename Passed<Arguments>::type...);

#if defined(AOT_GPU_ROCM)
using RealStatus = hipError_t;
#else
using RealStatus = cudaError_t;
#endif

/// The C function among those that headers overload for C++.
template <class... Arguments>
constexpr auto plain(RealStatus (*function)(Arguments...)) {
  return function;
}

#define SAME(ours, real) static_assert(std::is_same_v<decltype(GpuFunctions::ours), decltype(passed(real))>)
SAME(get_device_count, &GPU(GetDeviceCount));
SAME(set_device, &GPU(SetDevice));
SAME(device_synchronize, &GPU(DeviceSynchronize));
SAME(mem_get_info, &GPU(MemGetInfo));
SAME(memcpy, &GPU(Memcpy));
SAME(malloc, (plain<void**, size_t>(&GPU(Malloc))));
SAME(free, &GPU(Free));
SAME(get_error_string, &GPU(GetErrorString));
SAME(get_device_properties, (plain<RealProperties*, int>(&GPU(GetDeviceProperties))));

static_assert(GPU(Success) == kGpuSuccess);
static_assert(GPU(MemcpyHostToDevice) == kGpuHostToDevice);
static_assert(GPU(MemcpyDeviceToHost) == kGpuDeviceToHost);
static_assert(offsetof(RealProperties, name) == offsetof(GpuProperties, name));
static_assert(sizeof(RealProperties::name) == sizeof(GpuProperties::name));
static_assert(sizeof(RealProperties) <= sizeof(GpuProperties));

#if defined(AOT_GPU_ROCM)
constexpr HipProperties real = kHipProperties[HIP_VERSION_MAJOR < 6 ? 1 : 0];
static_assert(offsetof(RealProperties, gcnArchName) == real.architecture);
// The name that this version's headers give the function that fills this struct.
#define TEXT(name) #name
#define EXPANDED(name) TEXT(name)
static_assert(std::string_view(EXPANDED(hipGetDeviceProperties)) == real.function);
#else
SAME(get_attribute, &cudaDeviceGetAttribute);
static_assert(cudaDevAttrComputeCapabilityMajor == kCudaComputeCapabilityMajor);
static_assert(cudaDevAttrComputeCapabilityMinor == kCudaComputeCapabilityMinor);
#endif

}  // namespace
