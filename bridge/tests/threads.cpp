// SPDX-License-Identifier: Apache-2.0
// Many callers of real models at once, for a build under ThreadSanitizer: calls on several runners, loads and unloads
// beside them, outputs freed by other threads than made them and after their model. Exit code 1 when a call fails or a
// result differs from the one the same thread had before.
//
//   bridge_threads ROUNDS MODEL...       so many calls by each caller; the runtime lies beside the program
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "calls.h"

namespace {

constexpr int kCallers = 6;
constexpr int kLoads = 6;

std::atomic<int> failures{0};
std::mutex printing;

void complain(const std::string& text) {
  ++failures;
  const std::lock_guard<std::mutex> lock(printing);
  std::cerr << text << '\n';
}

/// Keeps one output: its memory is made by one thread and freed by another.
class Handover {
 public:
  ~Handover() { aot_tensor_free(kept_); }
  void put(aot_tensor* tensor) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      std::swap(tensor, kept_);
    }
    aot_tensor_free(tensor);
  }

 private:
  std::mutex mutex_;
  aot_tensor* kept_ = nullptr;
};

void call(aot_model* model, int64_t size, long rounds, Handover& handover) {
  const calls::Inputs inputs(model, size);
  std::vector<std::string> expected;
  for (long round = 0; round < rounds; ++round) {
    const calls::Outputs outputs = calls::run(model, inputs);
    if (outputs.status != AOT_OK) return complain(std::string("running: ") + aot_last_error());
    std::vector<std::string> seen;
    for (aot_tensor* output : outputs.tensors) {
      seen.push_back(calls::bytes_of(output));
      handover.put(output);
    }
    if (round == 0) expected = seen;
    if (seen != expected) complain("a result differs in round " + std::to_string(round));
  }
}

void load_and_free(const char* path, Handover& handover) {
  for (int round = 0; round < kLoads; ++round) {
    aot_model* model = calls::load(path, 1);
    if (model == nullptr) return complain(std::string("loading: ") + aot_last_error());
    const calls::Outputs outputs = calls::run(model, calls::Inputs(model, 3));
    if (outputs.status != AOT_OK) complain(std::string("running: ") + aot_last_error());
    aot_model_free(model);
    for (aot_tensor* output : outputs.tensors) handover.put(output);
  }
}

void exercise(const char* path, long rounds, uint32_t runners) {
  Handover handover;
  aot_model* model = calls::load(path, runners);
  if (model == nullptr) return complain(std::string("loading: ") + aot_last_error());
  std::vector<std::thread> threads;
  threads.reserve(kCallers + 2);
  // Two callers of each size, so that they meet at the same plans.
  for (int i = 0; i < kCallers; ++i) threads.emplace_back([&, i] { call(model, 1 + i / 2, rounds, handover); });
  for (int i = 0; i < 2; ++i) threads.emplace_back([&] { load_and_free(path, handover); });
  for (std::thread& thread : threads) thread.join();
  aot_model_free(model);
}

}  // namespace

int main(int argc, char** argv) {
  const long rounds = argc > 1 ? std::strtol(argv[1], nullptr, 10) : 0;
  const std::vector<const char*> models(argv + std::min(argc, 2), argv + argc);
#ifdef __SANITIZE_THREAD__
  // ThreadSanitizer does not see where the loader maps libraries and takes what lay there before for theirs: they come
  // before there are threads.
  for (const char* model : models) aot_model_free(calls::load(model, 1));
#endif
  // The first model is loaded by many at once; without ThreadSanitizer, the runtime with it.
  std::vector<std::thread> first;
  Handover handover;
  for (int i = 0; i < 4 && !models.empty(); ++i) first.emplace_back([&] { load_and_free(models[0], handover); });
  for (std::thread& thread : first) thread.join();
  for (const char* model : models) {
    for (const uint32_t runners : {1U, 4U}) exercise(model, rounds, runners);
  }
  std::cout << models.size() << " models of " << rounds << " rounds, " << failures << " failed\n";
  return failures == 0 && rounds > 0 && !models.empty() ? 0 : 1;
}
