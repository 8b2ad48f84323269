// Errors inside the runtime: C++ exceptions, turned into a status and a thread-local message at the C boundary.
#pragma once

#include <torch/csrc/inductor/aoti_torch/c/shim.h>

#include <complex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

namespace slim {

// What a shim function raises. The text names the values seen.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace detail {

// A string, a number, or something that becomes a string.
template <class T>
void append(std::string& text, const T& part) {
  if constexpr (std::is_arithmetic_v<T>) {
    text += std::to_string(part);
  } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    text += std::string_view(part);
  } else {
    text += static_cast<std::string>(part);
  }
}

}  // namespace detail

// Throws an Error whose text is the parts, one after the other.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  std::string text;
  (detail::append(text, parts), ...);
  throw Error(text);
}

// Throws unless `ok`. The parts are only turned into text on failure.
template <class... Parts>
void require(bool ok, const Parts&... parts) {
  if (__builtin_expect(!ok, 0)) fail(parts...);
}

// Records the exception being handled as this thread's last error, led by `function`. Call only in a catch block.
AOTITorchError report_exception(const char* function) noexcept;

// Body of every shim function: runs `f`, and turns whatever it throws into AOTI_TORCH_FAILURE and a message.
template <class F>
AOTITorchError guard(const char* function, F&& f) noexcept {
  try {
    f();
    return AOTI_TORCH_SUCCESS;
  } catch (...) {
    return report_exception(function);
  }
}

}  // namespace slim

extern "C" {

// This thread's last failure, never NULL. The same functions that torch 2.13 and newer export; declared here because
// older headers do not know them.
AOTI_TORCH_EXPORT const char* torch_exception_get_what();
AOTI_TORCH_EXPORT const char* torch_exception_get_what_without_backtrace();
}
