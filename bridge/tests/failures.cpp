// SPDX-License-Identifier: Apache-2.0
// Memory that is not there: each allocation of a load and of a call fails once, the first, the second, ... until none
// is left. Each time the call must say so or be right all the same, lose nothing (for a build under AddressSanitizer to
// see), and leave the model as it was. Exit code 1 otherwise.
//
// Only allocations that the bridge and the slim runtime ask for fail. Those of the model's own code, which torch
// generates, are left alone, as it does not survive them: a generated matrix product makes room for its blocks inside
// an OpenMP region, which no exception can leave, and ends the process. Nor are those of the loader and of oneDNN,
// whose initialisation allocates.
//
//   bridge_failures MODEL...      the runtime lies beside the program
#include <dlfcn.h>
#include <unwind.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <iostream>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "calls.h"

namespace {

/// Whether an allocation is to fail: the first of ours behind so many that are let pass.
thread_local bool is_scarce = false;
thread_local long passing = 0;
/// How many there were so far, and whether the last of them failed.
thread_local long seen = 0;
thread_local bool failed = false;

/// What is found while walking up a call stack from this program's allocation functions.
struct Search {
  const void* program;
  bool is_past_allocation = false;
  bool is_ours = false;
};

/// Goes on until the first code beyond the allocation functions that is not libstdc++'s.
_Unwind_Reason_Code look_at(_Unwind_Context* frame, void* argument) {
  auto& search = *static_cast<Search*>(argument);
  Dl_info info{};
  // NOLINTNEXTLINE(performance-no-int-to-ptr): an address of code
  if (dladdr(reinterpret_cast<const void*>(_Unwind_GetIP(frame) - 1), &info) == 0) return _URC_END_OF_STACK;
  const std::string_view symbol = info.dli_sname != nullptr ? info.dli_sname : "";
  const std::string_view path = info.dli_fname;
  const std::string_view file = path.substr(path.rfind('/') + 1);
  if (symbol.substr(0, 4) == "_Znw" || symbol.substr(0, 4) == "_Zna" || symbol == "aligned_alloc") {
    search.is_past_allocation = true;
  } else if (search.is_past_allocation && file.substr(0, 9) != "libstdc++") {
    search.is_ours = info.dli_fbase == search.program || file.substr(0, 11) == "libaot_slim";
    return _URC_END_OF_STACK;
  }
  return _URC_NO_REASON;
}

/// Whether code of this program, which the bridge is a part of, or of the slim runtime asks for memory.
bool is_asked_by_us() {
  Dl_info info{};
  dladdr(reinterpret_cast<const void*>(&look_at), &info);
  Search search{info.dli_fbase};
  _Unwind_Backtrace(&look_at, &search);
  return search.is_ours;
}

bool fails_now() {
  if (!is_scarce || ++seen <= passing || !is_asked_by_us()) return false;
  is_scarce = false;
  failed = true;
  return true;
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

// Torch's MaybeOwningAtenTensorHandle never frees the handle that it makes of a weight whose memory is the caller's.
// NOLINTNEXTLINE(bugprone-reserved-identifier): LeakSanitizer's name
extern "C" VISIBLE const char* __lsan_default_suppressions() {
  return "leak:AOTInductorModelContainer::update_constant_buffer";
}

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

int complaints = 0;

void complain(const std::string& text) {
  ++complaints;
  std::cerr << text << '\n';
}

/// Makes an allocation of this thread fail while this lives: the first of ours behind `number` others.
class Scarce {
 public:
  explicit Scarce(long number) {
    passing = number;
    seen = 0;
    failed = false;
    is_scarce = true;
  }
  ~Scarce() { is_scarce = false; }
};

/// A failure is right when memory did fail and the message says so. Where torch's code goes on with a handle that it
/// did not get, the message is what the next function says of it.
void expect_reason(const char* doing) {
  const std::string_view message = aot_last_error();
  const auto says = [&](const char* reason) { return message.find(reason) != std::string_view::npos; };
  if (failed && (says("out of memory") || says("a tensor argument is null"))) return;
  complain(std::string(doing) + (failed ? " with a failure of allocation " + std::to_string(seen) : "") + ": " +
           std::string(message));
}

/// The elements of the outputs, none after a failure; frees the outputs.
std::string all_bytes(const calls::Outputs& outputs) {
  std::string bytes;
  for (aot_tensor* output : outputs.tensors) {
    if (output != nullptr) bytes += calls::bytes_of(output);
    aot_tensor_free(output);
  }
  return bytes;
}

/// Returns how many allocations failed.
long exercise_loads(const char* path) {
  long count = 0;
  long number = 0;
  do {
    aot_model* model = nullptr;
    {
      const Scarce scarce(number);
      model = calls::load(path, 2);
    }
    if (model == nullptr) expect_reason("loading");
    aot_model_free(model);
    count += failed ? 1 : 0;
    number = seen;
  } while (failed);
  return count;
}

/// Returns how many allocations failed, those of a call, its outputs and their end.
long exercise_calls(const char* path) {
  aot_model* model = calls::load(path, 1);
  if (model == nullptr) {
    complain(std::string("loading: ") + aot_last_error());
    return 0;
  }
  const calls::Inputs inputs(model, 2);
  const std::string expected = all_bytes(calls::run(model, inputs));
  long count = 0;
  long number = 0;
  do {
    calls::Outputs outputs{AOT_OK, std::vector<aot_tensor*>(aot_model_num_outputs(model))};
    {
      const Scarce scarce(number);
      outputs.status = aot_model_run(model, inputs.views().data(), inputs.views().size(), outputs.tensors.data(),
                                     outputs.tensors.size(), nullptr);
    }
    count += failed ? 1 : 0;
    if (outputs.status != AOT_OK) expect_reason("running");
    const std::string found = all_bytes(outputs);
    if (found != (outputs.status == AOT_OK ? expected : ""))
      complain("allocation " + std::to_string(seen) + ": a wrong result");
    if (all_bytes(calls::run(model, inputs)) != expected)
      complain("the call after allocation " + std::to_string(seen) + " differs: " + aot_last_error());
    number = seen;
  } while (failed);
  aot_model_free(model);
  return count;
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    // What a process makes once is there after the first round: the numbers of all behind it differ from load to load.
    const long first = exercise_loads(argv[i]);
    const long loads = exercise_loads(argv[i]);
    const long of_calls = exercise_calls(argv[i]);
    std::cout << first << " and " << loads << " allocations of a load, " << of_calls << " of a call\n";
    if (loads == 0 || of_calls == 0) complain("nothing failed");
  }
  std::cout << argc - 1 << " models, " << complaints << " complaints\n";
  return complaints == 0 && argc > 1 ? 0 : 1;
}
