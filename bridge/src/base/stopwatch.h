// SPDX-License-Identifier: Apache-2.0
// How long something took.
#pragma once

#include <cstdint>

namespace aot {

/// Started when made.
class Stopwatch {
 public:
  Stopwatch();

  double milliseconds() const;

 private:
  int64_t start_;
};

}  // namespace aot
