// What OpenMP promises of the constructs that generated code, oneDNN and MKL are made of, for teams of several sizes,
// by one caller and by four at once; with an argument, in forked children too. Prints what is not as promised.
#include <omp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <thread>
#include <vector>

namespace {

std::atomic<int> failures{0};

#define CHECK(condition)                                  \
  do {                                                    \
    if (!(condition)) {                                   \
      std::printf("line %d: %s\n", __LINE__, #condition); \
      ++failures;                                         \
    }                                                     \
  } while (false)

bool counts_up(const std::vector<int>& numbers, size_t size) {
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (numbers[i] != static_cast<int>(i)) return false;
  }
  return numbers.size() == size;
}

void loops(int threads) {
  constexpr int kSize = 997;
  std::vector<long> values(kSize);
#pragma omp parallel num_threads(threads)
  {
#pragma omp for
    for (int i = 0; i < kSize; ++i) values[i] = i;
#pragma omp for schedule(dynamic, 7)
    for (int i = kSize - 1; i >= 0; --i) values[i] += 1;
#pragma omp for schedule(guided)
    for (int i = 0; i < kSize; ++i) values[i] *= 2;
#pragma omp for schedule(monotonic : dynamic)
    for (int i = 0; i < kSize; i += 2) values[i] += 1;
#pragma omp for schedule(static, 3) nowait
    for (int i = 1; i < kSize; i += 2) values[i] += 1;
  }
  for (int i = 0; i < kSize; ++i) CHECK(values[i] == 2 * (i + 1) + 1);
}

void shared_work(int threads) {
  int singles = 0;
  int criticals = 0;
  int named = 0;
  int sections = 0;
  std::atomic<int> received{0};
#pragma omp parallel num_threads(threads)
  {
    for (int k = 0; k < 5; ++k) {
#pragma omp single
      ++singles;
    }
#pragma omp critical
    ++criticals;
#pragma omp critical(name)
    ++named;
#pragma omp sections
    {
#pragma omp section
#pragma omp atomic
      ++sections;
#pragma omp section
#pragma omp atomic
      ++sections;
#pragma omp section
#pragma omp atomic
      ++sections;
    }
    int value = 0;
#pragma omp single copyprivate(value)
    value = 42;
    if (value == 42) ++received;
  }
  CHECK(singles == 5);
  CHECK(criticals == threads);
  CHECK(named == threads);
  CHECK(sections == 3);
  CHECK(received == threads);
}

void order(int threads) {
  std::vector<int> dynamic;
  std::vector<int> fixed;
#pragma omp parallel num_threads(threads)
  {
#pragma omp for ordered schedule(dynamic, 2)
    for (int i = 0; i < 50; ++i) {
#pragma omp ordered
      dynamic.push_back(i);
    }
#pragma omp for ordered schedule(static, 2)
    for (int i = 0; i < 51; ++i) {
#pragma omp ordered
      fixed.push_back(i);
    }
  }
  CHECK(counts_up(dynamic, 50));
  CHECK(counts_up(fixed, 51));
}

void whole_regions(int threads) {
  long sum = 0;
#pragma omp parallel for reduction(+ : sum) num_threads(threads)
  for (int i = 0; i < 1000; ++i) sum += i;
  CHECK(sum == 499500);
  sum = 0;
#pragma omp parallel for reduction(+ : sum) num_threads(threads) schedule(dynamic)
  for (int i = 1000; i > 0; i -= 3) sum += i;
  CHECK(sum == 167167);
  int sections = 0;
#pragma omp parallel sections num_threads(threads)
  {
#pragma omp section
#pragma omp atomic
    ++sections;
#pragma omp section
#pragma omp atomic
    ++sections;
  }
  CHECK(sections == 2);
}

void teams(int threads) {
  std::vector<int> seen(static_cast<size_t>(threads));
  int inner = 0;
#pragma omp parallel num_threads(threads)
  {
    CHECK(omp_get_num_threads() == threads);
    CHECK(omp_in_parallel() == (threads > 1 ? 1 : 0));
    ++seen[static_cast<size_t>(omp_get_thread_num())];
#pragma omp parallel num_threads(3) if (threads > 1)
#pragma omp atomic
    ++inner;
  }
  for (const int times : seen) CHECK(times == 1);
  if (threads > 1) CHECK(inner == threads);
  CHECK(omp_in_parallel() == 0);
  CHECK(omp_get_thread_num() == 0);
}

// A region that asks for no number: all of its threads see the same team, whoever else takes workers meanwhile.
void whoever_comes() {
  constexpr size_t kMost = 64;
  for (int times = 0; times < 200; ++times) {
    int seen[kMost] = {};
    const int most = omp_get_max_threads();
#pragma omp parallel
    seen[static_cast<size_t>(omp_get_thread_num())] = omp_get_num_threads();
    const int size = seen[0];
    bool is_one_team = size >= 1 && size <= most;
    for (size_t i = 0; i < kMost; ++i) is_one_team = is_one_team && seen[i] == (static_cast<int>(i) < size ? size : 0);
    CHECK(is_one_team);
  }
}

void all() {
  whoever_comes();
  for (const int threads : {1, 2, 3, 5, 8}) {
    for (auto* const check : {loops, shared_work, order, whole_regions, teams}) check(threads);
  }
}

void in_child() {
  const pid_t child = fork();
  if (child == 0) {
    alarm(100);
    all();
    std::fflush(stdout);
    _exit(failures == 0 ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(status == 0);
}

}  // namespace

int main(int count, char**) {
  all();
  for (int i = 0; count > 1 && i < 3; ++i) {
    in_child();
    all();
  }
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) callers.emplace_back(all);
  for (std::thread& caller : callers) caller.join();
  return failures == 0 ? 0 : 1;
}
