// SPDX-License-Identifier: Apache-2.0
// Memory that is not there: each allocation of a load and of a call fails once, the first, the second, ... until none
// is left. Each time the call must say so, lose nothing (for a build under AddressSanitizer to see), and leave the
// model as it was. Exit code 1 otherwise.
//
//   bridge_failures MODEL...      the runtime lies beside the program
#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <iostream>
#include <new>

#include "calls.h"

namespace {

/// Allocations until one fails; negative: none does.
thread_local long countdown = -1;
thread_local bool fired = false;

bool fails_now() {
  if (countdown < 0) return false;
  fired = countdown == 0;
  --countdown;
  return fired;
}

void* allocate(size_t alignment, size_t bytes) {
  void* memory = nullptr;
  if (fails_now() || posix_memalign(&memory, std::max(alignment, sizeof memory), bytes) != 0) return nullptr;
  return memory;
}

void* allocate_or_throw(size_t alignment, size_t bytes) {
  void* memory = allocate(alignment, bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

// The program's own stand before those of libstdc++ and libc for all libraries of the process.
#define VISIBLE __attribute__((visibility("default")))
VISIBLE void* operator new(size_t bytes) { return allocate_or_throw(alignof(std::max_align_t), bytes); }
VISIBLE void* operator new[](size_t bytes) { return allocate_or_throw(alignof(std::max_align_t), bytes); }
VISIBLE void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  return allocate(alignof(std::max_align_t), bytes);
}
VISIBLE void* operator new[](size_t bytes, const std::nothrow_t&) noexcept {
  return allocate(alignof(std::max_align_t), bytes);
}
VISIBLE void operator delete(void* memory) noexcept { std::free(memory); }
VISIBLE void operator delete[](void* memory) noexcept { std::free(memory); }
VISIBLE void operator delete(void* memory, size_t) noexcept { std::free(memory); }
VISIBLE void operator delete[](void* memory, size_t) noexcept { std::free(memory); }
extern "C" VISIBLE void* aligned_alloc(size_t alignment, size_t bytes) { return allocate(alignment, bytes); }

namespace {

int failures = 0;

void complain(const std::string& text) {
  ++failures;
  std::cerr << text << '\n';
}

bool says_so() { return std::string(aot_last_error()).find("out of memory") != std::string::npos; }

/// Makes allocation `number` of this thread fail for as long as it lives.
class Scarce {
 public:
  explicit Scarce(long number) {
    fired = false;
    countdown = number;
  }
  ~Scarce() { countdown = -1; }
};

std::string all_bytes(const calls::Outputs& outputs) {
  std::string bytes;
  for (aot_tensor* output : outputs.tensors) {
    bytes += calls::bytes_of(output);
    aot_tensor_free(output);
  }
  return bytes;
}

long exercise_loads(const char* path) {
  for (long number = 0;; ++number) {
    aot_model* model = nullptr;
    {
      const Scarce scarce(number);
      model = calls::load(path, 2);
    }
    if (model == nullptr && !says_so()) complain(std::string("loading: ") + aot_last_error());
    aot_model_free(model);
    if (!fired) return number;
  }
}

long exercise_calls(const char* path) {
  aot_model* model = calls::load(path, 1);
  if (model == nullptr) {
    complain(std::string("loading: ") + aot_last_error());
    return 0;
  }
  const calls::Inputs inputs(model, 2);
  const std::string expected = all_bytes(calls::run(model, inputs));
  long number = 0;
  for (bool again = true; again; ++number) {
    calls::Outputs outputs{AOT_OK, std::vector<aot_tensor*>(aot_model_num_outputs(model))};
    {
      const Scarce scarce(number);
      outputs.status = aot_model_run(model, inputs.views().data(), inputs.views().size(), outputs.tensors.data(),
                                     outputs.tensors.size(), nullptr);
    }
    again = fired;
    if (outputs.status != AOT_OK && !says_so()) complain(std::string("running: ") + aot_last_error());
    all_bytes(outputs);
    if (all_bytes(calls::run(model, inputs)) != expected)
      complain("the call after failure " + std::to_string(number) + " differs: " + aot_last_error());
  }
  aot_model_free(model);
  return number - 1;
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const long loads = exercise_loads(argv[i]);
    const long of_calls = exercise_calls(argv[i]);
    std::cout << loads << " allocations of a load, " << of_calls << " of a call\n";
  }
  std::cout << argc - 1 << " models, " << failures << " failed\n";
  return failures == 0 && argc > 1 ? 0 : 1;
}
