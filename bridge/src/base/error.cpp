// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"

#include <cerrno>
#include <cstring>
#include <exception>
#include <new>
#include <string>

namespace aot {
namespace {

/// Makes a message one line of printable text whatever a model or a file name puts into it; names may come from
/// strangers and end up on a terminal.
std::string one_line(const std::string& text) {
  std::string line;
  line.reserve(text.size());
  for (char c : text) {
    const bool is_break = c == '\n' || c == '\r' || c == '\t';
    const bool is_control = static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    if (!is_break) {
      line += is_control ? '?' : c;
    } else if (!line.empty() && line.back() != ' ') {
      line += ' ';
    }
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

constexpr const char* kOutOfMemory =
    "out of memory\n"
    "The process could not get the memory it asked for.\n"
    "Free memory, or use a smaller model or batch.";

constexpr const char* kUnhandled =
    "\nThe library met a situation it does not handle.\n"
    "Please report this together with the model.";

// A message that could not be stored for lack of memory is replaced by the literal above.
thread_local std::string message;
thread_local const char* literal = nullptr;

}  // namespace

Error::Error(aot_status status, Pieces what, Pieces meaning, Pieces fix)
    : std::runtime_error(
          concat({one_line(concat(what)), "\n", one_line(concat(meaning)), "\n", one_line(concat(fix))})),
      status_(status) {}

Error usage_error(Pieces what, Pieces meaning, Pieces fix) { return {AOT_USAGE, what, meaning, fix}; }

Error damaged_error(Pieces what, Pieces meaning) {
  return {AOT_DAMAGED, what, meaning, {"Copy the bundle or the package again, or build it anew."}};
}

Error file_error(const std::string& path, int reason) {
  const char* text = std::strerror(reason);
  switch (reason) {
    case EACCES:
    case EPERM:
      return {AOT_MACHINE_MISMATCH,
              {path, " may not be used: ", text},
              {"This user has no permission, or the file lies on a file system that forbids execution (noexec)."},
              {"Run: chmod -R a+rX BUNDLE. A mount with noexec shows in: findmnt -T BUNDLE"}};
    case ENOMEM:
    case EMFILE:
    case ENFILE:
      return {AOT_FAILED,
              {path, " cannot be opened: ", text},
              {"This process may have no more ", reason == ENOMEM ? "memory" : "open files",
               "; of the file this says nothing."},
              {"See: ulimit -a. Raise the limit, or let the process have less open at once."}};
    default:
      return damaged_error({path, " cannot be read: ", text}, {"A file that the model needs is missing or damaged."});
  }
}

int reason_at_the_end(std::string_view message) {
  for (const int reason : {EACCES, EPERM, ENOMEM, EMFILE, ENFILE}) {
    const std::string_view text = std::strerror(reason);
    if (message.size() >= text.size() && message.substr(message.size() - text.size()) == text) return reason;
  }
  return 0;
}

aot_status store_current_exception() noexcept {
  try {
    literal = nullptr;
    try {
      throw;
    } catch (const Error& error) {
      message = error.what();
      return error.status();
    } catch (const std::bad_alloc&) {
      literal = kOutOfMemory;
    } catch (const std::exception& error) {
      message = concat({one_line(error.what()), kUnhandled});
    } catch (...) {
      message = concat({"an exception of unknown type", kUnhandled});
    }
  } catch (...) {
    literal = kOutOfMemory;
  }
  return AOT_FAILED;
}

const char* last_error() noexcept { return literal != nullptr ? literal : message.c_str(); }

}  // namespace aot
