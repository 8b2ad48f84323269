// Splitting a range over threads: those of the pool that the model itself uses (threads/).
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>
#include <mutex>

#include "threads/pool.h"

namespace slim {

// Elements below which another thread costs more than it brings, for one cheap operation an element.
inline constexpr int64_t kGrain = 32768;

// Calls f(begin, end) for pieces of [begin, end) of at least `grain`, at the same time. The first exception comes out
// here.
template <class F>
void parallel_for(int64_t begin, int64_t end, int64_t grain, const F& f) {
  const int64_t total = end - begin;
  if (total <= 0) return;
  const int64_t most = (total - 1) / std::max<int64_t>(grain, 1) + 1;
  const int64_t pieces = most > 1 ? std::min<int64_t>(aot_slim_threads(), most) : 1;
  if (pieces <= 1) {
    f(begin, end);
    return;
  }
  struct Range {
    const F& f;
    const int64_t begin, end, piece;
    std::mutex mutex;
    std::exception_ptr failure;
  };
  Range range{f, begin, end, (total + pieces - 1) / pieces, {}, {}};
  const auto run = [](void* data, int number) {
    Range& its = *static_cast<Range*>(data);
    const int64_t first = its.begin + its.piece * number;
    if (first >= its.end) return;
    try {
      its.f(first, std::min(its.end, first + its.piece));
    } catch (...) {
      const std::lock_guard<std::mutex> lock(its.mutex);
      if (!its.failure) its.failure = std::current_exception();
    }
  };
  aot_slim_parallel(run, &range, static_cast<int>(pieces));
  if (range.failure) std::rethrow_exception(range.failure);
}

}  // namespace slim
