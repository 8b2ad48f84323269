#include "threads/callers.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <memory>

#include "threads/workers.h"

namespace slim {
namespace {

constexpr int kMostThreads = 256;

std::atomic<int> calls{0};
thread_local int depth = 0;  // calls within one another
thread_local int share = 0;  // of the processors; 0 outside of calls
thread_local int asked = 0;
thread_local int told = 0;  // what code here has made room for; 0: nothing

// A child has the calls of the thread that it comes from.
void resume_child() noexcept { calls = depth > 0 ? 1 : 0; }

int from_environment() noexcept {
  const char* text = std::getenv("OMP_NUM_THREADS");  // NOLINT(concurrency-mt-unsafe): read once
  return text == nullptr ? 0 : static_cast<int>(std::min<long>(std::strtol(text, nullptr, 10), kMostThreads));
}

int from_affinity() noexcept {
  // The kernel refuses a set that is smaller than its own, which says how many processors it was built for.
  constexpr int kMostProcessors = 1 << 20;
  for (int room = CPU_SETSIZE; room <= kMostProcessors; room *= 2) {
    const std::unique_ptr<cpu_set_t, decltype(&std::free)> set(CPU_ALLOC(room), std::free);
    const size_t size = CPU_ALLOC_SIZE(room);
    if (set == nullptr) break;
    if (sched_getaffinity(0, size, set.get()) == 0) return std::min(CPU_COUNT_S(size, set.get()), kMostThreads);
    if (errno != EINVAL) break;
  }
  return 1;
}

}  // namespace

int processors() noexcept {
  static const int count = [] {
    pthread_atfork(nullptr, nullptr, resume_child);
    const int wanted = from_environment();
    return std::max(wanted > 0 ? wanted : from_affinity(), 1);
  }();
  return count;
}

void set_threads(int count) noexcept {
  asked = std::clamp(count, 0, kMostThreads);
  told = 0;
}

int max_threads() noexcept {
  const int wanted = asked > 0 ? asked : processors();
  return possible_threads(share > 0 ? std::min(wanted, share) : wanted);
}

int told_threads() noexcept {
  told = max_threads();
  return told;
}

int region_threads() noexcept {
  const int most = max_threads();
  return told > 0 ? std::min(told, most) : most;
}

void enter_call() noexcept {
  if (depth++ > 0) return;
  told = 0;
  const int limit = std::max(asked, processors());
  share = std::max(limit / (calls.fetch_add(1) + 1), 1);
}

void leave_call() noexcept {
  if (--depth > 0) return;
  calls.fetch_sub(1);
  share = 0;
}

}  // namespace slim
