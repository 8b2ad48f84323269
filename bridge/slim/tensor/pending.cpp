#include "tensor/pending.h"

#include <string>
#include <utility>

#include "threads/pool.h"

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
  char why[400];
  if (__builtin_expect(aot_slim_take_failure(why, sizeof why) != 0, 0)) throw Error(why);
}

void clear_pending() noexcept {
  pending.clear();
  char why[400];
  aot_slim_take_failure(why, sizeof why);
}

}  // namespace slim
