// SPDX-License-Identifier: Apache-2.0
// One error type for everything that can go wrong, and the barrier that keeps exceptions inside the library.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "aot_bridge.h"
#include "base/text.h"

namespace aot {

/// What is wrong (with the values seen), what it means, and what to do next; `what()` joins the three lines.
class Error : public std::runtime_error {
 public:
  Error(aot_status status, Pieces what, Pieces meaning, Pieces fix);

  aot_status status() const noexcept { return status_; }

 private:
  aot_status status_;
};

/// A caller's mistake found before anything ran.
Error usage_error(Pieces what, Pieces meaning, Pieces fix);

/// A file that is missing, truncated or not what it claims to be.
Error damaged_error(Pieces what, Pieces meaning);

/// A file that the system does not let this process have, for the reason that is in errno's `reason`: that the file is
/// damaged is the last thing to think of.
Error file_error(const std::string& path, int reason);

/// The same by the name that the system gives a reason, as it stands at the end of the loader's messages; 0 when it is
/// none of those that say nothing of the file itself.
int reason_at_the_end(std::string_view message);

/// Stores the message of the exception being handled for aot_last_error() and returns its status. Call in a catch
/// block.
aot_status store_current_exception() noexcept;

/// This thread's last message; never null.
const char* last_error() noexcept;

/// Runs `body` and turns whatever it throws into a status.
template <class Body>
aot_status guarded(Body&& body) noexcept {
  try {
    std::forward<Body>(body)();
    return AOT_OK;
  } catch (...) {
    return store_current_exception();
  }
}

}  // namespace aot
