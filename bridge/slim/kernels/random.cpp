#include "kernels/random.h"

#include <array>
#include <cmath>
#include <utility>

#include "tensor/iterate.h"

namespace slim {
namespace {

constexpr uint64_t kDefaultSeed = 67280421310721;  // torch's

std::mutex mutex;
RandomEngine engine{kDefaultSeed};

// Torch's way for 16 and more contiguous elements: 16 uniform numbers become 16 normal ones.
template <class T>
void to_normal(T* data, double mean, double std) {
  for (int i = 0; i < 8; ++i) {
    const T radius = std::sqrt(-2 * std::log(1 - data[i]));
    const T angle = static_cast<T>(2 * M_PI) * data[i + 8];
    data[i] = radius * std::cos(angle) * static_cast<T>(std) + static_cast<T>(mean);
    data[i + 8] = radius * std::sin(angle) * static_cast<T>(std) + static_cast<T>(mean);
  }
}

template <class T>
void fill_normal_contiguous(T* data, int64_t n, double mean, double std) {
  using A = Accumulate<T>;
  const LockedRandom random;
  // float and double: n numbers are drawn before the first is used. Half floats: 16, used, and so on.
  if constexpr (!is_reduced_v<T>) {
    for (int64_t i = 0; i < n; ++i) data[i] = static_cast<T>(random->uniform<T>());
  }
  auto block = [&](T* at, bool draw) {
    A numbers[16];
    for (int i = 0; i < 16; ++i) numbers[i] = draw ? static_cast<A>(random->uniform<A>()) : static_cast<A>(at[i]);
    to_normal(numbers, mean, std);
    for (int i = 0; i < 16; ++i) at[i] = static_cast<T>(numbers[i]);
  };
  for (int64_t i = 0; i + 16 <= n; i += 16) block(data + i, is_reduced_v<T>);
  if (n % 16 != 0) block(data + n - 16, true);  // drawn again where it overlaps those before
}

}  // namespace

double RandomEngine::normal() {
  if (std::exchange(has_kept_, false)) return kept_;
  const double angle = 2 * M_PI * uniform<double>();
  const double radius = std::sqrt(-2 * std::log1p(-uniform<double>()));
  kept_ = radius * std::sin(angle);
  has_kept_ = true;
  return radius * std::cos(angle);
}

LockedRandom::LockedRandom() : lock_(mutex), engine_(&engine) {}

void fill_uniform(const Tensor& self, double from, double to) {
  require(from <= to, "a uniform distribution from ", from, " to ", to);
  visit_floating(self.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    using A = Accumulate<T>;
    const LockedRandom random;
    const auto low = static_cast<A>(number_as<T>(from));
    const auto width = static_cast<A>(number_as<T>(to)) - low;
    for_each<T>(self, [&](T& x) {
      x = number_as<T>(static_cast<A>(random->uniform<T>()) * width + low);
      if (x == number_as<T>(to)) x = number_as<T>(from);  // rounded up to what must not be reached
    });
  });
}

void fill_normal(const Tensor& self, double mean, double std) {
  require(std >= 0, "a normal distribution of standard deviation ", std);
  visit_floating(self.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    if (self.numel() >= 16 && self.is_contiguous()) {
      return fill_normal_contiguous(self.data<T>(), self.numel(), mean, std);
    }
    const LockedRandom random;
    for_each<T>(self, [&](T& x) { x = static_cast<T>(static_cast<Accumulate<T>>(random->normal() * std + mean)); });
  });
}

void fill_integers(const Tensor& self, int64_t from, int64_t to) {
  require(from < to, "no integers from ", from, " to below ", to);
  const uint64_t range = static_cast<uint64_t>(to) - static_cast<uint64_t>(from);
  const Tensor numbers = self.dtype == ScalarType::Long ? self : empty_like(self, ScalarType::Long);
  {
    const LockedRandom random;
    for_each<int64_t>(numbers, [&](int64_t& x) {
      const uint64_t drawn = range >= 1U << 28 ? random->random64() : random->random();
      x = static_cast<int64_t>(drawn % range + static_cast<uint64_t>(from));
    });
  }
  if (self.dtype != ScalarType::Long) copy(self, numbers);
}

void fill_bernoulli(const Tensor& self, double p) {
  require(p >= 0 && p <= 1, "a probability of ", p);
  const Tensor drawn = empty_like(self, ScalarType::Bool);
  const LockedRandom random;
  for_each<bool>(drawn, [&](bool& x) { x = random->uniform<double>() < p; });
  copy(self, drawn);
}

void fill_bernoulli(const Tensor& self, const Tensor& p) {
  const Tensor drawn = empty_like(self, ScalarType::Bool);
  const Tensor chance = to(p, ScalarType::Double);
  const LockedRandom random;
  Loop<2>({&drawn, &chance})
      .run(
          [&](const std::array<char*, 2>& at, const std::array<int64_t, 2>& step, int64_t n) {
            for (int64_t i = 0; i < n; ++i) {
              const double wanted = *reinterpret_cast<const double*>(at[1] + i * step[1]);
              require(wanted >= 0 && wanted <= 1, "a probability of ", wanted);
              *reinterpret_cast<bool*>(at[0] + i * step[0]) = random->uniform<double>() < wanted;
            }
          },
          INT64_MAX);
  copy(self, drawn);
}

}  // namespace slim

extern "C" void aot_slim_manual_seed(uint64_t seed) {
  const std::lock_guard<std::mutex> lock(slim::mutex);
  slim::engine = slim::RandomEngine(seed);
}
