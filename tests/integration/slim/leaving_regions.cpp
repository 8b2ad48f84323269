// Checks of generated code that fail inside OpenMP regions, in any thread, between any barriers: the region ends, and
// the next question for an address tells why. Prints what went wrong.
//
//   leaving_regions THREADS ROUNDS
#include <torch/csrc/inductor/aoti_torch/c/shim.h>

#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

extern "C" const char* torch_exception_get_what();

namespace {

constexpr int kElements = 1000;

void check(int element, int bad) {
  if (element == bad) aoti_torch_check(false, "kernel", "file", 1, "index out of bounds");
}

// Three loops, as Inductor fuses kernels. Each bad element beyond the loop is none.
void run(int threads, const int (&bad)[3]) {
#pragma omp parallel num_threads(threads)
  {
#pragma omp for
    for (int i = 0; i < kElements; ++i) check(i, bad[0]);
#pragma omp for
    for (int i = 0; i < kElements; ++i) check(i, bad[1]);
#pragma omp for nowait
    for (int i = 0; i < kElements; ++i) check(i / 2, bad[2]);  // two elements, often of two threads
  }
}

}  // namespace

int main(int, char** argv) {
  const int threads = std::atoi(argv[1]);
  AtenTensorHandle tensor = nullptr;
  const int64_t size = 1;
  if (aoti_torch_empty_strided(1, &size, &size, aoti_torch_dtype_float32(), 0, 0, &tensor) != 0) return 2;
  std::mt19937 random(7);
  std::uniform_int_distribution<int> place(0, 3 * kElements);
  for (int round = std::atoi(argv[2]); round > 0; --round) {
    const int bad[3] = {place(random), place(random), place(random)};
    const bool fails = bad[0] < kElements || bad[1] < kElements || bad[2] < kElements / 2;
    run(threads, bad);
    void* data = nullptr;
    const bool failed = aoti_torch_get_data_ptr(tensor, &data) != 0;
    if (failed != fails) std::printf("%d %d %d: failed %d\n", bad[0], bad[1], bad[2], failed);
    const bool says_why =
        std::string(torch_exception_get_what()).find("index out of bounds (kernel at file:1)") != std::string::npos;
    if (failed && !says_why) std::printf("%s\n", torch_exception_get_what());
    if (aoti_torch_get_data_ptr(tensor, &data) != 0) std::printf("told twice\n");
  }
  return aoti_torch_delete_tensor_object(tensor);
}
