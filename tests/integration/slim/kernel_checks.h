// What checks of kernels share: numbers that end where a page begins that nobody may touch, and what is expected.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

#include "kernels/matrix/product.h"
#include "kernels/matrix/table.h"

namespace checks {

using slim::matrix::Unary;

inline int failures = 0;

inline void fail(const std::string& what) {
  if (++failures <= 20) std::printf("%s\n", what.c_str());
}

// Numbers that end where a page begins that nobody may touch.
class Guarded {
 public:
  explicit Guarded(int64_t count) : page_(static_cast<size_t>(sysconf(_SC_PAGESIZE))) {
    const size_t bytes = static_cast<size_t>(count) * sizeof(float);
    whole_ = (bytes / page_ + 2) * page_;
    memory_ = static_cast<char*>(mmap(nullptr, whole_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (memory_ == MAP_FAILED || mprotect(memory_ + whole_ - page_, page_, PROT_NONE) != 0) std::abort();
    data_ = reinterpret_cast<float*>(memory_ + whole_ - page_ - bytes);
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  ~Guarded() { munmap(memory_, whole_); }
  float* data() { return data_; }
  float& operator[](int64_t i) { return data_[i]; }

 private:
  size_t page_;
  size_t whole_;
  char* memory_;
  float* data_;
};

inline double activated(Unary unary, double x, double alpha, double beta) {
  const double gate = std::isnan(x) ? x : std::fmin(std::fmax(x + 3, 0), 6);
  switch (unary) {
    case Unary::kNone:
      return x;
    case Unary::kRelu:
      return x < 0 ? 0 : x;
    case Unary::kLeakyRelu:
      return x < 0 ? alpha * x : x;
    case Unary::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case Unary::kTanh:
      return std::tanh(x);
    case Unary::kSwish:
      return x / (1 + std::exp(-x));
    case Unary::kHardswish:
      return x * gate / 6;
    case Unary::kHardsigmoid:
      return gate / 6;
    case Unary::kHardtanh:
      return x < alpha ? alpha : x > beta ? beta : x;
    case Unary::kGelu:
      return x * 0.5 * (1 + std::erf(x * std::sqrt(0.5)));
    case Unary::kGeluTanh:
      return x * 0.5 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  }
  return x;
}

inline bool close(double got, double expected, double tolerance) {
  if (std::isnan(expected)) return std::isnan(got);
  if (std::isinf(expected)) return got == expected;
  return std::fabs(got - expected) <= tolerance;
}

using Random = std::mt19937;

inline int64_t below(Random& random, int64_t end) {
  return static_cast<int64_t>(random() % static_cast<uint64_t>(end));
}

}  // namespace checks
