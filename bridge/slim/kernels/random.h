// The generator of random numbers: torch's own for the CPU, a Mersenne Twister of 32 bits, one for the process.
#pragma once

#include <cstdint>
#include <mutex>
#include <random>
#include <type_traits>

#include "tensor/tensor.h"

namespace slim {

// Draws as torch's CPU generator does: after the same seed the same calls give the same numbers. Not thread-safe by
// itself.
class RandomEngine {
 public:
  explicit RandomEngine(uint64_t seed) : twister_(static_cast<uint32_t>(seed)) {}

  uint32_t random() { return static_cast<uint32_t>(twister_()); }
  uint64_t random64() {
    const uint64_t high = twister_();
    return high << 32 | twister_();
  }

  // In [0, 1): a double of 53 random bits, or for all other T of 24, of which half floats then round some away.
  template <class T>
  double uniform() {
    if constexpr (std::is_same_v<T, double>) {
      return static_cast<double>(random64() & ((uint64_t{1} << 53) - 1)) * 0x1p-53;
    } else {
      return static_cast<double>(random() & ((1U << 24) - 1)) * 0x1p-24;
    }
  }

  // The standard normal distribution: two numbers at a time, of which the second is kept for the next call.
  double normal();

 private:
  std::mt19937 twister_;
  double kept_ = 0;
  bool has_kept_ = false;
};

// The process's generator, locked as long as this lives.
class LockedRandom {
 public:
  LockedRandom();
  RandomEngine* operator->() const { return engine_; }
  RandomEngine& operator*() const { return *engine_; }

 private:
  std::lock_guard<std::mutex> lock_;
  RandomEngine* engine_;
};

// In place. `from` and `to` as in torch: [from, to).
void fill_uniform(const Tensor& self, double from, double to);
void fill_normal(const Tensor& self, double mean, double std);
void fill_integers(const Tensor& self, int64_t from, int64_t to);
// 1 with probability p, else 0; p a double, or a tensor that broadcasts to self.
void fill_bernoulli(const Tensor& self, double p);
void fill_bernoulli(const Tensor& self, const Tensor& p);

}  // namespace slim

extern "C" {

// Starts the process's generator anew, as torch.manual_seed does. Until then it has torch's default seed.
AOTI_TORCH_EXPORT void aot_slim_manual_seed(uint64_t seed);
}
