// Splitting a range over the OpenMP threads that the model itself uses.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <exception>

namespace slim {

// Elements below which another thread costs more than it brings, for one cheap operation an element.
inline constexpr int64_t kGrain = 32768;

// Calls f(begin, end) for pieces of [begin, end) of at least `grain`, at the same time. The first exception comes out
// here.
template <class F>
void parallel_for(int64_t begin, int64_t end, int64_t grain, const F& f) {
  const int64_t total = end - begin;
  if (total <= 0) return;
  const int64_t pieces = std::min<int64_t>(omp_get_max_threads(), (total - 1) / std::max<int64_t>(grain, 1) + 1);
  if (pieces <= 1 || omp_in_parallel()) {
    f(begin, end);
    return;
  }
  std::exception_ptr failure;
#pragma omp parallel num_threads(static_cast<int>(pieces))
  {
    const int64_t threads = omp_get_num_threads();
    const int64_t piece = (total + threads - 1) / threads;
    const int64_t first = begin + piece * omp_get_thread_num();
    if (first < end) {
      try {
        f(first, std::min(end, first + piece));
      } catch (...) {
#pragma omp critical(aot_slim_failure)
        if (!failure) failure = std::current_exception();
      }
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace slim
