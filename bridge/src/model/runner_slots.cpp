// SPDX-License-Identifier: Apache-2.0
#include "model/runner_slots.h"

namespace aot {

void RunnerSlots::enter() {
  std::unique_lock<std::mutex> lock(mutex_);
  ++callers_;
  changed_.wait(lock, [this] { return free_ > 0; });
  --free_;
}

void RunnerSlots::leave() {
  const std::lock_guard<std::mutex> lock(mutex_);
  --callers_;
  ++free_;
  // Under the lock: once it is released, a model waiting to be freed may take this object away.
  changed_.notify_all();
}

void RunnerSlots::wait_until_idle() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return callers_ == 0; });
}

}  // namespace aot
