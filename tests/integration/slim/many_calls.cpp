// Calls a model very often through the C API and prints by how many bytes the process grew meanwhile: what malloc has
// given out, and what is resident.
//
//   many_calls MODEL CALLS
#include <malloc.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "calls.h"

namespace {

long resident() {
  long total = 0;
  long pages = 0;
  FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr || std::fscanf(file, "%ld %ld", &total, &pages) != 2) std::abort();
  std::fclose(file);
  return pages * sysconf(_SC_PAGESIZE);
}

long given_out() {
  const struct mallinfo2 info = mallinfo2();
  return static_cast<long>(info.uordblks + info.hblkhd);
}

// Values and, where the model allows it, sizes differ from call to call.
void call(aot_model* model, const std::vector<calls::Inputs>& inputs, long times) {
  for (long i = 0; i < times; ++i) {
    const calls::Outputs outputs = calls::run(model, inputs[static_cast<size_t>(i) % inputs.size()]);
    if (outputs.status != AOT_OK) {
      std::fprintf(stderr, "%s\n", aot_last_error());
      std::exit(1);
    }
    for (aot_tensor* output : outputs.tensors) aot_tensor_free(output);
  }
}

}  // namespace

int main(int, char** argv) {
  aot_model* model = calls::load(argv[1], 1);
  if (model == nullptr) {
    std::fprintf(stderr, "%s\n", aot_last_error());
    return 1;
  }
  std::vector<calls::Inputs> inputs;
  for (int64_t size = 1; size <= 5; ++size) inputs.emplace_back(model, size);
  call(model, inputs, 1000);
  const long memory = resident();
  const long heap = given_out();
  call(model, inputs, std::atol(argv[2]));
  const long grown = given_out() - heap;
  std::printf("%ld %ld\n", grown, resident() - memory);
  aot_model_free(model);
  return 0;
}
