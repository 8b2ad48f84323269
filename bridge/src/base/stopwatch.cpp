// SPDX-License-Identifier: Apache-2.0
#include "base/stopwatch.h"

#include <ctime>

namespace aot {
namespace {

int64_t nanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

}  // namespace

Stopwatch::Stopwatch() : start_(nanoseconds()) {}

double Stopwatch::milliseconds() const { return static_cast<double>(nanoseconds() - start_) * 1e-6; }

}  // namespace aot
