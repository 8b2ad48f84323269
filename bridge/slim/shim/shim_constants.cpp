// The shim's getters of constants: torch's numbers for devices, dtypes, layouts and memory formats.
#if __has_include(<torch/headeronly/core/Layout.h>)
#include <torch/headeronly/core/DeviceType.h>
#include <torch/headeronly/core/Layout.h>
#include <torch/headeronly/core/MemoryFormat.h>
#else  // torch 2.9
#include <c10/core/DeviceType.h>
#include <c10/core/Layout.h>
#include <c10/core/MemoryFormat.h>
#include <torch/csrc/api/include/torch/version.h>
#endif

#include "tensor/tensor.h"

// What tensor.h counts on.
static_assert(static_cast<int32_t>(slim::Layout::kMkldnn) == static_cast<int32_t>(c10::Layout::Mkldnn));
static_assert(static_cast<int32_t>(slim::MemoryFormat::kChannelsLast3d) ==
              static_cast<int32_t>(c10::MemoryFormat::ChannelsLast3d));

#define AOT_SLIM_CONSTANT(NAME, VALUE) \
  int32_t NAME() { return static_cast<int32_t>(VALUE); }

extern "C" {

uint64_t aoti_torch_abi_version() { return TORCH_ABI_VERSION; }

AOT_SLIM_CONSTANT(aoti_torch_device_type_cpu, c10::DeviceType::CPU)
AOT_SLIM_CONSTANT(aoti_torch_device_type_cuda, c10::DeviceType::CUDA)
AOT_SLIM_CONSTANT(aoti_torch_device_type_meta, c10::DeviceType::Meta)
AOT_SLIM_CONSTANT(aoti_torch_device_type_xpu, c10::DeviceType::XPU)
AOT_SLIM_CONSTANT(aoti_torch_device_type_mps, c10::DeviceType::MPS)
AOT_SLIM_CONSTANT(aoti_torch_device_type_privateuse1, c10::DeviceType::PrivateUse1)

AOT_SLIM_CONSTANT(aoti_torch_dtype_float8_e5m2, c10::ScalarType::Float8_e5m2)
AOT_SLIM_CONSTANT(aoti_torch_dtype_float8_e4m3fn, c10::ScalarType::Float8_e4m3fn)
AOT_SLIM_CONSTANT(aoti_torch_dtype_float8_e5m2fnuz, c10::ScalarType::Float8_e5m2fnuz)
AOT_SLIM_CONSTANT(aoti_torch_dtype_float8_e4m3fnuz, c10::ScalarType::Float8_e4m3fnuz)
#if TORCH_FEATURE_VERSION >= TORCH_VERSION_2_12_0
AOT_SLIM_CONSTANT(aoti_torch_dtype_float8_e8m0fnu, c10::ScalarType::Float8_e8m0fnu)
AOT_SLIM_CONSTANT(aoti_torch_dtype_float4_e2m1fn_x2, c10::ScalarType::Float4_e2m1fn_x2)
#endif
AOT_SLIM_CONSTANT(aoti_torch_dtype_bfloat16, c10::ScalarType::BFloat16)
AOT_SLIM_CONSTANT(aoti_torch_dtype_float16, c10::ScalarType::Half)
AOT_SLIM_CONSTANT(aoti_torch_dtype_float32, c10::ScalarType::Float)
AOT_SLIM_CONSTANT(aoti_torch_dtype_float64, c10::ScalarType::Double)
AOT_SLIM_CONSTANT(aoti_torch_dtype_uint8, c10::ScalarType::Byte)
AOT_SLIM_CONSTANT(aoti_torch_dtype_uint16, c10::ScalarType::UInt16)
AOT_SLIM_CONSTANT(aoti_torch_dtype_uint32, c10::ScalarType::UInt32)
AOT_SLIM_CONSTANT(aoti_torch_dtype_uint64, c10::ScalarType::UInt64)
AOT_SLIM_CONSTANT(aoti_torch_dtype_int8, c10::ScalarType::Char)
AOT_SLIM_CONSTANT(aoti_torch_dtype_int16, c10::ScalarType::Short)
AOT_SLIM_CONSTANT(aoti_torch_dtype_int32, c10::ScalarType::Int)
AOT_SLIM_CONSTANT(aoti_torch_dtype_int64, c10::ScalarType::Long)
AOT_SLIM_CONSTANT(aoti_torch_dtype_bool, c10::ScalarType::Bool)
AOT_SLIM_CONSTANT(aoti_torch_dtype_complex32, c10::ScalarType::ComplexHalf)
AOT_SLIM_CONSTANT(aoti_torch_dtype_complex64, c10::ScalarType::ComplexFloat)
AOT_SLIM_CONSTANT(aoti_torch_dtype_complex128, c10::ScalarType::ComplexDouble)

AOT_SLIM_CONSTANT(aoti_torch_layout_strided, c10::Layout::Strided)
AOT_SLIM_CONSTANT(aoti_torch_layout_sparse_coo, c10::Layout::Sparse)
AOT_SLIM_CONSTANT(aoti_torch_layout_sparse_csr, c10::Layout::SparseCsr)
AOT_SLIM_CONSTANT(aoti_torch_layout_sparse_csc, c10::Layout::SparseCsc)
AOT_SLIM_CONSTANT(aoti_torch_layout_sparse_bsr, c10::Layout::SparseBsr)
AOT_SLIM_CONSTANT(aoti_torch_layout_sparse_bsc, c10::Layout::SparseBsc)
AOT_SLIM_CONSTANT(aoti_torch_layout__mkldnn, c10::Layout::Mkldnn)
AOT_SLIM_CONSTANT(aoti_torch_layout_jagged, c10::Layout::Jagged)

AOT_SLIM_CONSTANT(aoti_torch_memory_format_contiguous_format, c10::MemoryFormat::Contiguous)
AOT_SLIM_CONSTANT(aoti_torch_memory_format_preserve_format, c10::MemoryFormat::Preserve)
AOT_SLIM_CONSTANT(aoti_torch_memory_format_channels_last, c10::MemoryFormat::ChannelsLast)
AOT_SLIM_CONSTANT(aoti_torch_memory_format_channels_last_3d, c10::MemoryFormat::ChannelsLast3d)

// The one getter without a status to return: 0 tells of a number that is no dtype.
size_t aoti_torch_dtype_element_size(int32_t dtype) {
  size_t bytes = 0;
  slim::guard(__func__, [&] { bytes = slim::element_size(static_cast<slim::ScalarType>(dtype)); });
  return bytes;
}
}
