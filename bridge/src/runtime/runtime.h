// SPDX-License-Identifier: Apache-2.0
// The runtime library that models call into, libtorch or libaot_slim: found beside the bridge, loaded once, used
// through AOTInductor's stable C ABI.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/dtype.h"
#include "base/torch_abi.h"
#include "device/device.h"

namespace aot {

/// The part of the C shim that the bridge itself uses.
#define AOT_SHIM_FUNCTIONS(X)              \
  X(aoti_torch_create_tensor_from_blob_v2) \
  X(aoti_torch_delete_tensor_object)       \
  X(aoti_torch_empty_strided)              \
  X(aoti_torch_new_tensor_handle)          \
  X(aoti_torch_clone)                      \
  X(aoti_torch_copy_)                      \
  X(aoti_torch_get_data_ptr)               \
  X(aoti_torch_get_storage_size)           \
  X(aoti_torch_get_dim)                    \
  X(aoti_torch_get_sizes)                  \
  X(aoti_torch_get_strides)                \
  X(aoti_torch_get_dtype)                  \
  X(aoti_torch_get_device_type)            \
  X(aoti_torch_get_layout)                 \
  X(aoti_torch_device_type_cpu)            \
  X(aoti_torch_device_type_cuda)           \
  X(aoti_torch_dtype_element_size)         \
  X(aoti_torch_layout_strided)             \
  X(aoti_torch_layout__mkldnn)

/// The slim runtime's pool of threads (bridge/slim/threads/pool.h); null with libtorch.
struct Pool {
  void (*set_threads)(int) = nullptr;
  void (*enter_call)() = nullptr;
  void (*leave_call)() = nullptr;
};

/// The OpenMP library that libtorch brought along; null with the slim runtime.
struct OpenMp {
  void (*set_threads)(int) = nullptr;
  int (*max_threads)() = nullptr;
  int (*pause)(int) = nullptr;
  void (*parallel)(void (*)(void*), void*, unsigned, unsigned) = nullptr;
};

/// A value as libtorch's dispatcher takes and gives it: a number, or the address of a tensor, a list or such a value.
using StableValue = uint64_t;

/// Calls ops of libtorch by their names; null with the slim runtime, and before torch 2.10.
struct OpCalls {
  AOTITorchError (*call)(const char* name, const char* overload, StableValue* stack, uint64_t version) = nullptr;
  AOTITorchError (*new_list)(size_t size, StableValue* list) = nullptr;
  AOTITorchError (*push)(StableValue list, StableValue item) = nullptr;
  AOTITorchError (*new_optional)(StableValue** place) = nullptr;  // null before torch 2.13, which has `new` do it
  uint64_t (*version)() = nullptr;                                // of libtorch: three bytes from the highest on
};

class Runtime {
 public:
  /// Loads it on the first call. Throws AOT_DAMAGED when it is not there, AOT_MACHINE_MISMATCH when it cannot be loaded
  /// here.
  static const Runtime& load(const Device& device);

  /// The one that was loaded. Call after load() only.
  static const Runtime& get();

  /// File name of the runtime that load() would take, such as "libtorch_cpu.so".
  static std::string library_name();

  /// Whether it is the slim runtime.
  static bool is_slim();

  const Pool& pool() const { return pool_; }
  const OpenMp& openmp() const { return openmp_; }
  const OpCalls& op_calls() const { return op_calls_; }

#define AOT_SHIM_MEMBER(name) decltype(&::name) name = nullptr;
  AOT_SHIM_FUNCTIONS(AOT_SHIM_MEMBER)  // NOLINT(bugprone-reserved-identifier): one is torch's
#undef AOT_SHIM_MEMBER

  /// torch's number for a dtype, and back. The latter throws AOT_FAILED for a dtype that DLPack does not know.
  int32_t number_of(Dtype dtype) const { return dtype_numbers_[static_cast<int>(dtype)]; }
  Dtype dtype_of(int32_t number) const;

  /// Throws AOT_FAILED with the runtime's own message unless `code` is success.
  void check(AOTITorchError code, const char* doing) const;

  /// What the last failed shim function on this thread had to say, or "".
  std::string last_message() const;

 private:
  Runtime();

  int32_t dtype_numbers_[kDtypeCount] = {};
  const char* (*exception_text_)() = nullptr;
  Pool pool_;
  OpenMp openmp_;
  OpCalls op_calls_;
};

}  // namespace aot
