// One row of floats times weights of fewer bits, beside only reading as many bytes: what decoding a token costs at
// least.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "kernels/matrix/table.h"

using namespace slim::matrix;

extern "C" void aop_set_num_threads(int count);

namespace {

constexpr int64_t kSize = 4096;
constexpr int64_t kGroup = 128;
constexpr int64_t kWeightSets = 8;  // of weights in turn: together more than any cache holds

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

volatile uint64_t kept;

void read(const uint8_t* from, size_t bytes) {
  typedef uint64_t Eight __attribute__((vector_size(64)));
  Eight sums[4] = {};
  for (size_t i = 0; i + 256 <= bytes; i += 256) {
    for (size_t j = 0; j < 4; ++j) {
      Eight some;
      __builtin_memcpy(&some, from + i + j * 64, sizeof some);
      sums[j] ^= some;
    }
  }
  kept = (sums[0] ^ sums[1] ^ sums[2] ^ sums[3])[0];
}

struct Way {
  std::string name;
  std::function<void(int64_t set)> multiply;
  std::function<void(int64_t set)> read;
  double bytes;
};

}  // namespace

// How many rounds.
int main(int count, char** arguments) {
  const int rounds = count > 1 ? std::atoi(arguments[1]) : 7;
  aop_set_num_threads(1);
  const size_t numbers = kSize * kSize;
  std::vector<float> left(kSize, 0.5F);
  std::vector<float> out(kSize);
  std::vector<float> scales(kSize, 0.01F);
  std::vector<uint8_t> weights(numbers * kWeightSets);
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<uint8_t>(i * 2654435761U >> 13);
  const std::vector<uint16_t> pairs(2 * kSize * kSize / kGroup, 0x3c00);
  Result how;
  how.out = out.data();
  how.row_stride = kSize;
  const Left row{left.data(), kSize, 1};
  const Sizes sizes{1, kSize, kSize};
  const auto at = [&](int64_t set, size_t bytes) { return weights.data() + static_cast<size_t>(set) * bytes; };
  const std::vector<Way> ways{
      {"int8",
       [&](int64_t set) {
         multiply(row, Int8Columns{reinterpret_cast<const int8_t*>(at(set, numbers)), scales.data()}, sizes, how);
       },
       [&](int64_t set) { read(at(set, numbers), numbers); }, static_cast<double>(numbers)},
      {"int4",
       [&](int64_t set) { multiply(row, Int4Blocks{at(set, numbers), kGroup, pairs.data(), true}, sizes, how); },
       [&](int64_t set) { read(at(set, numbers), numbers / 2); }, static_cast<double>(numbers) / 2}};
  for (const Way& way : ways) {
    double best = 1e9;
    double best_read = 1e9;
    for (int round = 0; round < rounds; ++round) {
      double begin = now();
      for (int64_t set = 0; set < kWeightSets; ++set) way.multiply(set);
      best = std::min(best, (now() - begin) / kWeightSets);
      begin = now();
      for (int64_t set = 0; set < kWeightSets; ++set) way.read(set);
      best_read = std::min(best_read, (now() - begin) / kWeightSets);
    }
    std::printf("weights %s %.2f %.2f\n", way.name.c_str(), way.bytes / best * 1e-9, best_read / best);
  }
  std::printf("%s\n", name_of(best_isa()));
  return 0;
}
