// Memory for tensors: 64-byte aligned, and reused from call to call.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/error.h"

namespace slim {

inline constexpr size_t kAlignment = 64;

struct Block {
  void* data;
  size_t capacity;  // >= the bytes asked for; hand it back to release()
};

// Uninitialised memory; throws std::bad_alloc. `bytes` > 0. Thread-safe, as release is.
Block allocate(size_t bytes);

// Keeps the block for reuse as long as the process holds no more than twice the most it ever needed at once.
void release(Block block) noexcept;

}  // namespace slim

extern "C" {

// Bytes of tensors now, kept for reuse now, and the most that tensors took at once. Pointers may be NULL.
AOTI_TORCH_EXPORT void aot_slim_memory(uint64_t* in_use, uint64_t* cached, uint64_t* peak);

// Gives everything that is kept for reuse back to the system and forgets the peak.
AOTI_TORCH_EXPORT void aot_slim_release_cache();
}
