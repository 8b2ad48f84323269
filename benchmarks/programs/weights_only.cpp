// One row of floats times weights, beside only reading as many bytes: what decoding a token costs at least.
//
//   weights_only ROUNDS
//
// A line a kind of weights and number of threads: THREADS DEPTH COLUMNS KIND GB/s PART, the part of the speed at which
// so many threads only read the same bytes. As in a model, weights come from memory: each call takes another set.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "kernels/matrix/table.h"
#include "threads/parallel.h"

using namespace slim;
using namespace slim::matrix;

namespace {

constexpr int64_t kGroup = 128;
constexpr size_t kWeightBytes = size_t{1} << 27;  // of all sets together: more than any cache holds
constexpr int kMostThreads = 2;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

volatile uint64_t kept;

void read_part(const uint8_t* from, int64_t bytes) {
  typedef uint64_t Eight __attribute__((vector_size(64)));
  Eight sums[4] = {};
  for (int64_t i = 0; i + 256 <= bytes; i += 256) {
    for (int64_t j = 0; j < 4; ++j) {
      Eight some;
      __builtin_memcpy(&some, from + i + j * 64, sizeof some);
      sums[j] ^= some;
    }
  }
  kept = (sums[0] ^ sums[1] ^ sums[2] ^ sums[3])[0];
}

void read(const uint8_t* from, int64_t bytes) {
  constexpr int64_t kPage = 4096;
  parallel_for(0, bytes / kPage, 1,
               [&](int64_t begin, int64_t end) { read_part(from + begin * kPage, (end - begin) * kPage); });
}

struct Way {
  const char* kind;
  Sizes sizes;
  int64_t bytes;  // of the weights
  std::function<void(const uint8_t* weights, const Sizes& sizes)> multiply;
};

void measure(const Way& way, const std::vector<uint8_t>& weights, int rounds, int threads) {
  const auto sets = static_cast<int64_t>(weights.size()) / way.bytes;
  const auto seconds = [&](const auto& call) {
    const double begin = now();
    for (int64_t set = 0; set < sets; ++set) call(weights.data() + set * way.bytes);
    return (now() - begin) / static_cast<double>(sets);
  };
  double best = 1e9;
  double best_read = 1e9;
  for (int round = 0; round < rounds; ++round) {
    best = std::min(best, seconds([&](const uint8_t* set) { way.multiply(set, way.sizes); }));
    best_read = std::min(best_read, seconds([&](const uint8_t* set) { read(set, way.bytes); }));
  }
  std::printf("%d %ld %ld %s %.1f %.2f\n", threads, static_cast<long>(way.sizes.depth),
              static_cast<long>(way.sizes.columns), way.kind, static_cast<double>(way.bytes) / best * 1e-9,
              best_read / best);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  constexpr int64_t kLarge = 4096;
  const Sizes large{1, kLarge, kLarge};
  const Sizes small{1, 3072, 768};
  std::vector<uint8_t> weights(kWeightBytes);
  // Small finite numbers, whatever they are read as.
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<uint8_t>((i * 2654435761U >> 13) & 0x3f);
  const std::vector<float> left(kLarge, 0.5F);
  const std::vector<uint16_t> halves(kLarge, 0x3f00);
  const std::vector<float> scales(kLarge, 0.01F);
  const std::vector<uint16_t> pairs(2 * kLarge * kLarge / kGroup, 0x3c00);
  std::vector<float> out(kLarge);
  const auto into = [&](const Sizes& sizes) {
    Result how;
    how.out = out.data();
    how.row_stride = sizes.columns;
    return how;
  };
  const std::vector<Way> ways{
      {"float32", small, panel_bytes(Numbers::kFloat32, small.columns, small.depth),
       [&](const uint8_t* set, const Sizes& sizes) {
         multiply(Numbers::kFloat32, {left.data(), sizes.depth, 1}, static_cast<const void*>(set), sizes, into(sizes));
       }},
      {"bfloat16", small, panel_bytes(Numbers::kBfloat16, small.columns, small.depth),
       [&](const uint8_t* set, const Sizes& sizes) {
         multiply(Numbers::kBfloat16, {halves.data(), sizes.depth, 1}, static_cast<const void*>(set), sizes,
                  into(sizes));
       }},
      {"int8", large, kLarge * kLarge,
       [&](const uint8_t* set, const Sizes& sizes) {
         multiply({left.data(), sizes.depth, 1}, Int8Columns{reinterpret_cast<const int8_t*>(set), scales.data()},
                  sizes, into(sizes));
       }},
      {"int4", large, kLarge * kLarge / 2, [&](const uint8_t* set, const Sizes& sizes) {
         multiply({left.data(), sizes.depth, 1}, Int4Blocks{set, kGroup, pairs.data(), true}, sizes, into(sizes));
       }}};
  for (int threads = 1; threads <= kMostThreads; ++threads) {
    aot_slim_set_threads(threads);
    for (const Way& way : ways) measure(way, weights, std::atoi(arguments[1]), threads);
  }
  std::printf("%s\n", name_of(best_isa()));
  return 0;
}
