// SPDX-License-Identifier: Apache-2.0
// The functions that libtorch's model runner looks up in a model's library, doing nothing: see proxy.cpp. They take
// arguments, which the calling convention of the machines we serve lets a callee ignore; their real declarations are in
// torch's interface.h, which therefore is not included here.
#include <cstdint>

extern "C" {

#define AOT_NOTHING(name) \
  __attribute__((visibility("default"))) int32_t name() { return 0; }
AOT_NOTHING(AOTInductorModelContainerCreateWithDevice)
AOT_NOTHING(AOTInductorModelContainerDelete)
AOT_NOTHING(AOTInductorModelContainerGetNumOutputs)
AOT_NOTHING(AOTInductorModelContainerRun)
AOT_NOTHING(AOTInductorModelContainerRunSingleThreaded)
AOT_NOTHING(AOTInductorModelContainerGetNumConstants)
AOT_NOTHING(AOTInductorModelContainerGetConstantName)
AOT_NOTHING(AOTInductorModelContainerGetConstantOriginalFQN)
AOT_NOTHING(AOTInductorModelContainerGetConstantDtype)
AOT_NOTHING(AOTInductorModelContainerExtractConstantsMap)
AOT_NOTHING(AOTInductorModelContainerUpdateUserManagedConstantBuffer)
AOT_NOTHING(AOTInductorModelContainerUpdateConstantBuffer)
AOT_NOTHING(AOTInductorModelContainerUpdateConstantBufferFromCpu)
AOT_NOTHING(AOTInductorModelContainerUpdateInactiveConstantBuffer)
AOT_NOTHING(AOTInductorModelContainerRunConstantFolding)
AOT_NOTHING(AOTInductorModelContainerSwapConstantBuffer)
AOT_NOTHING(AOTInductorModelContainerFreeInactiveConstantBuffer)
AOT_NOTHING(AOTInductorModelContainerGetCallSpec)
AOT_NOTHING(AOTInductorModelContainerGetConstantsBlobSize)
AOT_NOTHING(AOTInductorModelUpdateConstantsFromBlob)
AOT_NOTHING(AOTInductorGetLastError)
#undef AOT_NOTHING

}  // extern "C"
