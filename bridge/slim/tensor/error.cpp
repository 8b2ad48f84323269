#include "tensor/error.h"

#include <cstdio>
#include <exception>
#include <new>

#include "tensor/pending.h"
#include "threads/pool.h"

namespace {

thread_local std::string last_error;

// Functions are called what torch calls them, whatever they are called here (CMakeLists.txt).
void set_last_error(std::string_view function, std::string_view what) noexcept {
  constexpr std::string_view kOwn = "slim_";
  const bool is_own = function.substr(0, kOwn.size()) == kOwn;
  try {
    last_error.assign(is_own ? "aoti_" : "").append(function.substr(is_own ? kOwn.size() : 0));
    last_error.append(": ").append(what);
  } catch (...) {
    last_error.clear();  // no memory left even for the message; an empty one is what the caller then reads
  }
}

}  // namespace

namespace slim {

AOTITorchError report_exception(const char* function) noexcept {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    set_last_error(function, "out of memory");
  } catch (const std::exception& error) {
    set_last_error(function, error.what());
  } catch (...) {
    set_last_error(function, "an exception of unknown type");
  }
  return AOTI_TORCH_FAILURE;
}

}  // namespace slim

extern "C" {

const char* torch_exception_get_what() {
  slim::clear_pending();
  return last_error.c_str();
}
const char* torch_exception_get_what_without_backtrace() { return torch_exception_get_what(); }

// Generated code calls this for its assertions, an index out of range for one. It has no status to return, so it
// throws, as torch's does; the model's entry point catches. No exception can leave an OpenMP region: that is left in
// another way, and what the model asks for next fails.
void aoti_torch_check(bool cond, const char* func, const char* file, uint32_t line, const char* msg) {
  if (cond) return;
  std::string text = msg;
  text.append(" (").append(func).append(" at ").append(file).append(":").append(std::to_string(line)).append(")");
  set_last_error("aoti_torch_check", text);
  if (aot_slim_is_in_region() != 0) {
    std::string().swap(text);  // what is jumped over is not destroyed
    aot_slim_leave_region(last_error.c_str());
  }
  throw slim::Error(text);
}

void aoti_torch_warn(const char* func, const char* file, uint32_t line, const char* msg) {
  std::fprintf(stderr, "Warning: %s (%s at %s:%u)\n", msg, func, file, line);
}
}
