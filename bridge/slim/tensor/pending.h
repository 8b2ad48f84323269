// Failures that the model does not ask for: torch's generated code ignores the status of scatter and index_put, and a
// check within an OpenMP region has nobody to tell. They are kept for the thread's next question that has a status.
#pragma once

#include <string_view>
#include <utility>

#include "tensor/error.h"

namespace slim {

// Keeps a failure of this thread.
void fail_later(std::string_view why) noexcept;

// Throws what was kept as an Error, and forgets it.
void throw_pending();

// Forgets it: the caller has heard of a failure.
void clear_pending() noexcept;

// Body of the shim functions whose status is ignored.
template <class F>
AOTITorchError guard_ignored(const char* function, F&& f) noexcept {
  const AOTITorchError status = guard(function, std::forward<F>(f));
  if (status != AOTI_TORCH_SUCCESS) fail_later(torch_exception_get_what());
  return status;
}

}  // namespace slim
