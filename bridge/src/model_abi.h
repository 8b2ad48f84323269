// SPDX-License-Identifier: Apache-2.0
// What every model.so exports: AOTInductor's model container, the same C functions since torch 2.9.
//
// Declared here because torch's header (aoti_runtime/interface.h) brings streams and helpers of C++ along, a tenth of
// what the bridge takes to compile. bridge/tests/model_abi_test.cpp includes both: where they differ, it does not
// compile.
#pragma once

#include <torch/csrc/inductor/aoti_torch/c/shim.h>

#include <cstddef>
#include <cstdint>

// NOLINTBEGIN(readability-redundant-declaration): in the test torch has declared them before.
extern "C" {

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
