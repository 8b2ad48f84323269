// SPDX-License-Identifier: Apache-2.0
// Torch's C interface, as far as the bridge uses it: what every model.so exports (AOTInductor's model container) and
// what it calls of the runtime (the C shim). Both are the same since torch 2.9.
//
// Declared here because torch's headers (aoti_runtime/interface.h, aoti_torch/c/shim.h) bring its number types, streams
// and helpers of C++ along (CMakeLists.txt, "compile time"). bridge/tests/torch_abi_test.cpp includes both: where they
// differ, it does not compile.
#pragma once

#include <cstddef>
#include <cstdint>

// NOLINTBEGIN(readability-redundant-declaration): in the test torch has declared them before.
extern "C" {

using AOTITorchError = int32_t;  // 0: success

struct AtenTensorOpaque;
using AtenTensorHandle = AtenTensorOpaque*;
struct AOTIProxyExecutorOpaque;
using AOTIProxyExecutorHandle = AOTIProxyExecutorOpaque*;

// Numbers of torch's enumerations. Each dtype has a function of this type.
int32_t aoti_torch_device_type_cpu();
int32_t aoti_torch_device_type_cuda();
size_t aoti_torch_dtype_element_size(int32_t dtype);
int32_t aoti_torch_layout_strided();
int32_t aoti_torch_layout__mkldnn();  // NOLINT(bugprone-reserved-identifier)
int32_t aoti_torch_dtype_float32();

// Handles that come back are new references; pointers are the tensor's own.
AOTITorchError aoti_torch_create_tensor_from_blob_v2(void* data, int64_t ndim, const int64_t* sizes_ptr,
                                                     const int64_t* strides_ptr, int64_t storage_offset, int32_t dtype,
                                                     int32_t device_type, int32_t device_index, AtenTensorHandle* ret,
                                                     int32_t layout, const uint8_t* opaque_metadata,
                                                     int64_t opaque_metadata_size);
AOTITorchError aoti_torch_empty_strided(int64_t ndim, const int64_t* sizes_ptr, const int64_t* strides_ptr,
                                        int32_t dtype, int32_t device_type, int32_t device_index,
                                        AtenTensorHandle* ret_new_tensor);
AOTITorchError aoti_torch_new_tensor_handle(AtenTensorHandle orig_handle, AtenTensorHandle* new_handle);
AOTITorchError aoti_torch_delete_tensor_object(AtenTensorHandle tensor);
AOTITorchError aoti_torch_clone(AtenTensorHandle self, AtenTensorHandle* ret);
AOTITorchError aoti_torch_copy_(AtenTensorHandle self, AtenTensorHandle src, int32_t non_blocking);
AOTITorchError aoti_torch_get_data_ptr(AtenTensorHandle tensor, void** ret_data_ptr);
AOTITorchError aoti_torch_get_storage_size(AtenTensorHandle tensor, int64_t* ret_size);
AOTITorchError aoti_torch_get_dim(AtenTensorHandle tensor, int64_t* ret_dim);
AOTITorchError aoti_torch_get_sizes(AtenTensorHandle tensor, int64_t** ret_sizes);
AOTITorchError aoti_torch_get_strides(AtenTensorHandle tensor, int64_t** ret_strides);
AOTITorchError aoti_torch_get_dtype(AtenTensorHandle tensor, int32_t* ret_dtype);
AOTITorchError aoti_torch_get_device_type(AtenTensorHandle tensor, int32_t* ret_device_type);
AOTITorchError aoti_torch_get_layout(AtenTensorHandle tensor, int32_t* ret_layout);

using AOTIRuntimeError = int32_t;  // 0: success

struct AOTInductorModelContainerOpaque;
using AOTInductorModelContainerHandle = AOTInductorModelContainerOpaque*;
struct AOTInductorStreamOpaque;
using AOTInductorStreamHandle = AOTInductorStreamOpaque*;

AOTIRuntimeError AOTInductorModelContainerCreateWithDevice(AOTInductorModelContainerHandle* container_handle,
                                                           size_t num_models, const char* device_str,
                                                           const char* cubin_dir);
AOTIRuntimeError AOTInductorModelContainerDelete(AOTInductorModelContainerHandle container_handle);

AOTIRuntimeError AOTInductorModelContainerGetNumInputs(AOTInductorModelContainerHandle container_handle,
                                                       size_t* ret_num_inputs);
AOTIRuntimeError AOTInductorModelContainerGetInputName(AOTInductorModelContainerHandle container_handle,
                                                       size_t input_idx, const char** ret_input_names);
AOTIRuntimeError AOTInductorModelContainerGetNumOutputs(AOTInductorModelContainerHandle container_handle,
                                                        size_t* ret_num_outputs);
AOTIRuntimeError AOTInductorModelContainerGetOutputName(AOTInductorModelContainerHandle container_handle,
                                                        size_t output_idx, const char** ret_output_names);

AOTIRuntimeError AOTInductorModelContainerRun(AOTInductorModelContainerHandle container_handle,
                                              AtenTensorHandle* input_handles, size_t num_inputs,
                                              AtenTensorHandle* output_handles, size_t num_outputs,
                                              AOTInductorStreamHandle stream_handle,
                                              AOTIProxyExecutorHandle proxy_executor_handle);

AOTIRuntimeError AOTInductorModelContainerGetNumConstants(AOTInductorModelContainerHandle container_handle,
                                                          size_t* num_constants);
AOTIRuntimeError AOTInductorModelContainerGetConstantName(AOTInductorModelContainerHandle container_handle, size_t idx,
                                                          const char** name);
AOTIRuntimeError AOTInductorModelContainerGetConstantOriginalFQN(AOTInductorModelContainerHandle container_handle,
                                                                 size_t idx, const char** original_fqn);
AOTIRuntimeError AOTInductorModelContainerGetConstantDtype(AOTInductorModelContainerHandle container_handle, size_t idx,
                                                           int32_t* dtype);
AOTIRuntimeError AOTInductorModelContainerGetConstantDataSize(AOTInductorModelContainerHandle container_handle,
                                                              size_t idx, size_t* data_size);
AOTIRuntimeError AOTInductorModelContainerGetConstantFromFolded(AOTInductorModelContainerHandle container_handle,
                                                                size_t idx, bool* from_folded);
AOTIRuntimeError AOTInductorModelContainerRunConstantFolding(AOTInductorModelContainerHandle container_handle,
                                                             bool use_inactive, AOTInductorStreamHandle stream_handle,
                                                             AOTIProxyExecutorHandle proxy_executor_handle);
}
// NOLINTEND(readability-redundant-declaration)
