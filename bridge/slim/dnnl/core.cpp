// What this library takes from libaot_slim.so, which must be loaded: one allocator and one error message for both.
#include <new>

#include "tensor/allocator.h"
#include "tensor/error.h"

namespace slim {

Block allocate(size_t bytes) {
  Block block{};
  block.data = aot_slim_allocate(bytes, &block.capacity);
  if (block.data == nullptr) throw std::bad_alloc();
  return block;
}

void release(Block block) noexcept { aot_slim_release(block.data, block.capacity); }

AOTITorchError report_exception(const char* function) noexcept {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    aot_slim_set_last_error(function, "out of memory");
  } catch (const std::exception& error) {
    aot_slim_set_last_error(function, error.what());
  } catch (...) {
    aot_slim_set_last_error(function, "an exception of unknown type");
  }
  return AOTI_TORCH_FAILURE;
}

}  // namespace slim
