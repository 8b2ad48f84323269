// A machine whose kernel knows of 4096 processors, of which this process may use three beyond the first 1024. Prints
// how many threads a region may have there.
#include <omp.h>
#include <sched.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <initializer_list>

// A double of libc's: the runtime's own call comes here.
extern "C" int sched_getaffinity(pid_t, size_t size, cpu_set_t* set) noexcept {
  constexpr size_t kBytes = 4096 / 8;
  if (size < kBytes) {
    errno = EINVAL;
    return -1;
  }
  std::memset(set, 0, size);
  for (const int processor : {7, 1500, 4095}) CPU_SET_S(processor, size, set);
  return 0;
}

int main() { std::printf("%d\n", omp_get_max_threads()); }
