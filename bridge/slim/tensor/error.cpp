#include "tensor/error.h"

#include <omp.h>

#include <cstdio>
#include <cstdlib>
#include <exception>

#include "shim/pending.h"
#include "shim/region.h"

namespace {

thread_local std::string last_error;

void set_last_error(std::string_view function, std::string_view what) noexcept {
  try {
    last_error.assign(function).append(": ").append(what);
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

void aot_slim_set_last_error(const char* function, const char* what) { set_last_error(function, what); }

// Generated code calls this for its assertions, an index out of range for one. It has no status to return, so it
// throws, as torch's does; the model's entry point catches. No exception can leave an OpenMP region: that is left in
// another way, and what the model asks for next fails. Where regions are not ours to leave, the process ends, as it
// does with torch.
void aoti_torch_check(bool cond, const char* func, const char* file, uint32_t line, const char* msg) {
  if (cond) return;
  std::string text = msg;
  text.append(" (").append(func).append(" at ").append(file).append(":").append(std::to_string(line)).append(")");
  set_last_error("aoti_torch_check", text);
  if (slim::is_in_region()) {
    std::string().swap(text);  // what is jumped over is not destroyed
    slim::leave_region(last_error);
  }
  if (omp_in_parallel()) {
    std::fprintf(stderr, "%s\n", text.c_str());
    std::abort();
  }
  throw slim::Error(text);
}

void aoti_torch_warn(const char* func, const char* file, uint32_t line, const char* msg) {
  std::fprintf(stderr, "Warning: %s (%s at %s:%u)\n", msg, func, file, line);
}
}
