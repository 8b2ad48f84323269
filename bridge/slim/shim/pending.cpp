#include "shim/pending.h"

#include <utility>

namespace slim {
namespace {

thread_local std::string pending;

}  // namespace

void fail_later(std::string_view why) noexcept {
  try {
    pending = why.empty() ? "out of memory" : why;
  } catch (...) {
    pending = "out of memory";  // so short that it needs none
  }
}

void throw_pending() {
  if (__builtin_expect(!pending.empty(), 0)) throw Error(std::exchange(pending, {}));
}

void clear_pending() noexcept { pending.clear(); }

}  // namespace slim
