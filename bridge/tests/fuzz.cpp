// SPDX-License-Identifier: Apache-2.0
// A small fuzzer for what GCC compiles: changes inputs of a corpus at random and keeps those that reach new code. A
// fault ends the process, by a sanitizer or by fuzz::fault(); the input is then in the file that was named for it.
//
//   bridge_fuzz TARGET CORPUS INPUT SEED SECONDS RUNS      ends after so many seconds or runs, whichever comes first
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>

#include "base/error.h"

namespace {

constexpr size_t kLongest = size_t{1} << 16;
constexpr size_t kMostKept = 4096;
constexpr unsigned kSecondsARun = 20;

constexpr size_t kEdges = size_t{1} << 16;
uint8_t edges[kEdges];
uintptr_t edge_before = 0;
size_t new_edges = 0;

const char* input_path = "";

}  // namespace

// Called by the code under test at the start of each of its blocks (-fsanitize-coverage=trace-pc).
extern "C" void __sanitizer_cov_trace_pc() {  // NOLINT(bugprone-reserved-identifier)
  const auto here = reinterpret_cast<uintptr_t>(__builtin_return_address(0));
  uint8_t& edge = edges[(here ^ (edge_before << 1U)) % kEdges];
  new_edges += edge == 0 ? 1U : 0U;
  edge = 1;
  edge_before = here;
}

namespace fuzz {

void fault(const std::string& what) {
  std::cerr << "FAULT: " << what << "\ninput: " << input_path << '\n';
  std::abort();
}

namespace {

/// The input at hand, in a file that outlives the process: its size, 8 bytes, then its bytes.
class Record {
 public:
  explicit Record(const char* path) {
    input_path = path;
    std::FILE* file = std::fopen(path, "w+b");
    if (file == nullptr || ftruncate(fileno(file), kSize) != 0) std::exit(2);  // NOLINT(concurrency-mt-unsafe)
    memory_ = static_cast<uint8_t*>(mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(file), 0));
    std::fclose(file);
    if (memory_ == MAP_FAILED) std::exit(2);  // NOLINT(concurrency-mt-unsafe)
  }

  void set(const Bytes& bytes) {
    const uint64_t size = bytes.size();
    std::memcpy(memory_, &size, sizeof size);
    std::copy(bytes.begin(), bytes.end(), memory_ + sizeof size);
  }

 private:
  static constexpr size_t kSize = sizeof(uint64_t) + kLongest;
  uint8_t* memory_;
};

class Mutator {
 public:
  Mutator(uint64_t seed, const Target& target) : random_(seed), target_(target) {}

  size_t below(size_t end) { return end == 0 ? 0 : random_() % end; }

  Bytes change(Bytes bytes, const Bytes& other) {
    for (size_t left = 1 + below(6); left > 0; --left) step(&bytes, other);
    if (bytes.size() > kLongest) bytes.resize(kLongest);
    return bytes;
  }

 private:
  static constexpr int64_t kNumbers[] = {
      0,   1,    2,     -1,      -2,         63,         64,         65,        127,       128,          255,
      256, 4096, 65535, 1 << 20, 0x7fffffff, 0x80000000, 0xffffffff, INT64_MAX, INT64_MIN, INT64_MAX / 2};

  int64_t number() {
    return below(4) == 0 ? static_cast<int64_t>(random_()) : kNumbers[below(sizeof kNumbers / sizeof *kNumbers)];
  }

  void step(Bytes* bytes, const Bytes& other) {
    const size_t at = below(bytes->size());
    const auto place = bytes->begin() + static_cast<std::ptrdiff_t>(at);
    const size_t count = std::min(below(below(4) == 0 ? 256 : 9), bytes->size() - at);
    const auto end = place + static_cast<std::ptrdiff_t>(count);
    switch (below(9)) {
      case 0:
        if (!bytes->empty()) *place ^= static_cast<uint8_t>(1U << below(8));
        return;
      case 1:
        if (!bytes->empty()) *place = static_cast<uint8_t>(random_());
        return;
      case 2: {  // a number over what is there
        const int64_t value = number();
        if (!bytes->empty())
          std::memcpy(bytes->data() + at, &value, std::min<size_t>(size_t{1} << below(4), bytes->size() - at));
        return;
      }
      case 3:
        bytes->erase(place, end);
        return;
      case 4: {
        const Bytes again(place, end);
        bytes->insert(place, again.begin(), again.end());
        return;
      }
      case 5: {  // a part of another input
        const size_t from = below(other.size());
        const size_t size = std::min(below(64), other.size() - from);
        bytes->insert(place, other.begin() + static_cast<std::ptrdiff_t>(from),
                      other.begin() + static_cast<std::ptrdiff_t>(from + size));
        return;
      }
      case 6:
        if (!target_.words.empty()) {
          const std::string& word = target_.words[below(target_.words.size())];
          bytes->insert(place, word.begin(), word.end());
        }
        return;
      case 7:
        return digits(bytes, at);
      default:
        bytes->resize(at);
    }
  }

  /// Another number for the next one in a text.
  void digits(Bytes* bytes, size_t at) {
    const auto is_digit = [](uint8_t c) { return c >= '0' && c <= '9'; };
    const auto begin = std::find_if(bytes->begin() + static_cast<std::ptrdiff_t>(at), bytes->end(), is_digit);
    const auto end = std::find_if_not(begin, bytes->end(), is_digit);
    const std::string text = std::to_string(number());
    const auto place = bytes->erase(begin, end);
    bytes->insert(place, text.begin(), text.end());
  }

  std::mt19937_64 random_;
  const Target& target_;
};

Bytes read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void run(const Target& target, const Bytes& bytes, Record* record) {
  record->set(bytes);
  alarm(kSecondsARun);  // its signal ends the process
  edge_before = 0;
  try {
    target.run(Bytes(bytes.data(), bytes.data() + bytes.size()));  // exactly as large, for a sanitizer to see its end
  } catch (const aot::Error& error) {
    const std::string text = error.what();
    if (std::count(text.begin(), text.end(), '\n') != 2) fault("not three lines: " + text);
  } catch (const std::exception& error) {
    fault(std::string("another exception: ") + error.what());
  }
}

int main(const Target& target, char** argv) {
  Record record(argv[3]);
  const uint64_t seed = std::strtoull(argv[4], nullptr, 10);
  const auto seconds = std::chrono::duration<double>(std::strtod(argv[5], nullptr));
  const uint64_t most_runs = std::strtoull(argv[6], nullptr, 10);

  std::vector<std::filesystem::path> paths;
  for (const auto& file : std::filesystem::directory_iterator(argv[2])) paths.push_back(file.path());
  std::sort(paths.begin(), paths.end());  // the same run for the same seed
  std::vector<Bytes> corpus = {{}};
  for (const std::filesystem::path& path : paths) corpus.push_back(read(path));
  for (const Bytes& bytes : corpus) run(target, bytes, &record);

  Mutator mutator(seed, target);
  const auto start = std::chrono::steady_clock::now();
  uint64_t runs = 0;
  while (runs < most_runs && std::chrono::steady_clock::now() - start < seconds) {
    const Bytes bytes = mutator.change(corpus[mutator.below(corpus.size())], corpus[mutator.below(corpus.size())]);
    new_edges = 0;
    run(target, bytes, &record);
    ++runs;
    if (new_edges > 0 && corpus.size() < kMostKept) corpus.push_back(bytes);
  }
  std::cout << target.name << ": " << paths.size() << " inputs, " << runs << " runs, "
            << std::count(edges, edges + kEdges, 1) << " edges, seed " << seed << '\n';
  unlink(input_path);
  return 0;
}

}  // namespace
}  // namespace fuzz

int main(int argc, char** argv) {
  for (const fuzz::Target& target : fuzz::targets()) {
    if (argc == 7 && target.name == argv[1]) return fuzz::main(target, argv);
  }
  std::cerr << "bridge_fuzz TARGET CORPUS INPUT SEED SECONDS RUNS\n";
  return 2;
}
