// SPDX-License-Identifier: Apache-2.0
// Lets as many callers in as there are runners. AOTInductor's container would let the rest wait by itself, but a caller
// waiting there is never woken when the call it waits for fails.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>

namespace aot {

class RunnerSlots {
 public:
  explicit RunnerSlots(size_t count) : free_(count) {}

  /// Holds one slot until it goes out of scope.
  class Hold {
   public:
    explicit Hold(RunnerSlots& slots) : slots_(slots) { slots_.enter(); }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
    ~Hold() { slots_.leave(); }

   private:
    RunnerSlots& slots_;
  };

  /// Waits until nobody is in or waiting.
  void wait_until_idle();

 private:
  void enter();
  void leave();

  std::mutex mutex_;
  std::condition_variable changed_;
  size_t free_;
  size_t callers_ = 0;
};

}  // namespace aot
