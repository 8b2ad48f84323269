// SPDX-License-Identifier: Apache-2.0
#include "runtime/threads.h"

#include <pthread.h>

#include <atomic>
#include <mutex>
#include <vector>

#include "base/error.h"
#include "runtime/runtime.h"

namespace aot {
namespace {

std::atomic<int> at_work{0};           // threads
thread_local int depth = 0;            // of this one
thread_local int threads_in_use = -1;  // what this one asked libgomp for; -1: nothing yet
thread_local bool has_set = false;     // whether libgomp's number is ours
thread_local int threads_before = 0;   // the number that it had before
std::atomic<bool> orphaned{false};

/// libgomp's threads would be missing in the child, whose first region would wait for them for ever. They end before;
/// the next region makes them anew.
void before_fork() {
  const OpenMp& openmp = Runtime::get().openmp();
  constexpr int kHard = 2;
  if (depth > 0 || openmp.pause == nullptr) return;
  openmp.pause(kHard);
  threads_in_use = -1;
}

void in_child() {
  if (at_work != (depth > 0 ? 1 : 0)) orphaned = true;
  at_work = depth > 0 ? 1 : 0;
}

/// As many threads as can be made beside this one, up to `count`. libgomp ends the process when it is refused one, so
/// they are made once to see.
int possible_helpers(int count) {
  std::vector<pthread_t> threads;
  threads.reserve(static_cast<size_t>(count));
  std::mutex gate;  // each waits until all are there: they must be possible at the same time
  const auto wait = [](void* mutex) -> void* {
    const std::lock_guard<std::mutex> lock(*static_cast<std::mutex*>(mutex));
    return nullptr;
  };
  {
    const std::lock_guard<std::mutex> closed(gate);
    for (int i = 0; i < count; ++i) {
      pthread_t thread{};
      if (pthread_create(&thread, nullptr, wait, &gate) != 0) break;
      threads.push_back(thread);
    }
  }
  for (const pthread_t thread : threads) pthread_join(thread, nullptr);
  return static_cast<int>(threads.size());
}

/// Makes regions of this thread have `count` threads, or fewer where they cannot be made. OpenMP keeps the number for
/// each thread, and its helpers from region to region: an empty region makes them at once.
void use_threads(const OpenMp& openmp, int count) {
  if (openmp.set_threads == nullptr || openmp.max_threads == nullptr || openmp.parallel == nullptr) return;
  if (count == threads_in_use) return;
  if (!has_set) threads_before = openmp.max_threads();
  const int wanted = count > 0 ? count : threads_before;
  const int possible = possible_helpers(wanted - 1) + 1;
  if (has_set || count > 0 || possible < wanted) openmp.set_threads(possible);
  has_set = count > 0 || possible < wanted;
  openmp.parallel([](void*) {}, nullptr, 0, 0);
  threads_in_use = count;
}

}  // namespace

bool is_orphaned() { return orphaned; }

void refuse_orphans() {
  if (!orphaned) return;
  throw Error(AOT_FAILED, {"this process was forked while another thread was calling or loading a model"},
              {"What that thread held, such as locks, is held for ever in this process: a call might never end."},
              {"Fork while no call is at work, or start the process anew (spawn, exec)."});
}

AtWork::AtWork() {
  [[maybe_unused]] static const int registered = pthread_atfork(before_fork, nullptr, in_child);
  if (depth++ == 0) ++at_work;
}

AtWork::~AtWork() {
  if (--depth == 0) --at_work;
}

CallThreads::CallThreads(int threads) {
  const Runtime& runtime = Runtime::get();
  if (runtime.pool().enter_call != nullptr) {
    runtime.pool().set_threads(threads);
    runtime.pool().enter_call();
  } else {
    use_threads(runtime.openmp(), threads);
  }
}

CallThreads::~CallThreads() {
  const Runtime& runtime = Runtime::get();
  if (runtime.pool().leave_call != nullptr) runtime.pool().leave_call();
}

}  // namespace aot
