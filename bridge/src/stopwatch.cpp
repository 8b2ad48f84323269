// SPDX-License-Identifier: Apache-2.0
#include "stopwatch.h"

#include <chrono>

namespace aot {
namespace {

int64_t nanoseconds() { return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

Stopwatch::Stopwatch() : start_(nanoseconds()) {}

double Stopwatch::milliseconds() const { return static_cast<double>(nanoseconds() - start_) * 1e-6; }

}  // namespace aot
