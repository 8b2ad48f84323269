// SPDX-License-Identifier: Apache-2.0
#include "model/runner_slots.h"

namespace aot {

void RunnerSlots::enter() {
  const Lock lock(mutex_);
  ++callers_;
  while (free_ == 0) changed_.wait(mutex_);
  --free_;
}

void RunnerSlots::leave() {
  const Lock lock(mutex_);
  --callers_;
  ++free_;
  // Under the lock: once it is released, a model waiting to be freed may take this object away.
  changed_.notify_all();
}

void RunnerSlots::wait_until_idle() {
  const Lock lock(mutex_);
  while (callers_ != 0) changed_.wait(mutex_);
}

}  // namespace aot
