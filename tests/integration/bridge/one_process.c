/* A host in C of one or more bundles, each through its own library: it forks, lacks threads, or holds two runtimes.
 *
 *   one_process WHAT BUNDLE...      each bundle has the model `parallel` of tests/support/models/safety_models.py
 *
 * Exit code 0 when all results are right; what is not is said on stderr.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aot_bridge.h"

enum { ROWS = 256, COLUMNS = 2048, MOST_BUNDLES = 4 };

static float x[ROWS * COLUMNS];
static int64_t index_of_row[ROWS];

struct bundle {
  aot_model* model;
  const char* (*last_error)(void);
  aot_status (*load)(const char*, const aot_load_options*, aot_model**);
  aot_status (*run)(aot_model*, const aot_view*, size_t, aot_tensor**, size_t, aot_run_stats*);
  const aot_view* (*view)(const aot_tensor*);
  void (*free_tensor)(aot_tensor*);
  void (*free_model)(aot_model*);
};

static void fail(const char* what, const char* why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

static void* symbol(void* library, const char* name) {
  void* found = dlsym(library, name);
  if (found == NULL) fail(name, dlerror());
  return found;
}

static struct bundle open_bundle(const char* folder) {
  char path[4096];
  struct bundle made;
  snprintf(path, sizeof path, "%s/lib/libaot_bridge.so", folder);
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) fail(path, dlerror());
  *(void**)&made.last_error = symbol(library, "aot_last_error");
  *(void**)&made.load = symbol(library, "aot_model_load");
  *(void**)&made.run = symbol(library, "aot_model_run");
  *(void**)&made.view = symbol(library, "aot_tensor_view");
  *(void**)&made.free_tensor = symbol(library, "aot_tensor_free");
  *(void**)&made.free_model = symbol(library, "aot_model_free");
  snprintf(path, sizeof path, "%s/models/parallel", folder);
  if (made.load(path, NULL, &made.model) != AOT_OK) fail(path, made.last_error());
  return made;
}

/* One call; the status. A softmax whose rows do not sum up to one ends the process. */
static aot_status call(const struct bundle* bundle) {
  int64_t sizes[2] = {ROWS, COLUMNS};
  const aot_view inputs[2] = {
      {x, {AOT_DEVICE_CPU, 0}, 2, {AOT_FLOAT, 32, 1}, sizes, NULL, 0},
      {index_of_row, {AOT_DEVICE_CPU, 0}, 1, {AOT_INT, 64, 1}, sizes, NULL, 0},
  };
  aot_tensor* outputs[2] = {NULL, NULL};
  const aot_status status = bundle->run(bundle->model, inputs, 2, outputs, 2, NULL);
  if (status != AOT_OK) return status;
  const float* softmax = bundle->view(outputs[0])->data;
  for (int row = 0; row < ROWS; ++row) {
    double sum = 0;
    for (int column = 0; column < COLUMNS; ++column) sum += softmax[row * COLUMNS + column];
    if (fabs(sum - 1) > 1e-4) fail("not a softmax", "a row does not sum up to one");
  }
  bundle->free_tensor(outputs[0]);
  bundle->free_tensor(outputs[1]);
  return AOT_OK;
}

static void call_well(const struct bundle* bundle) {
  if (call(bundle) != AOT_OK) fail("a call", bundle->last_error());
}

static int threads(void) {
  int count = -2; /* . and .. */
  DIR* tasks = opendir("/proc/self/task");
  if (tasks == NULL) fail("/proc/self/task", "cannot be read");
  while (readdir(tasks) != NULL) ++count;
  closedir(tasks);
  return count;
}

/* What a child that calls `depth` forks down ends with. */
static int in_child(const struct bundle* bundle, int depth) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(100); /* never to hang is the point */
    call_well(bundle);
    _exit(depth > 1 ? in_child(bundle, depth - 1) : 0);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child) fail("waitpid", "no child");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

static void forks(const struct bundle* bundle) {
  call_well(bundle);
  if (threads() < 2) fail("threads", "one did it all");
  for (int i = 0; i < 3; ++i) {
    if (in_child(bundle, 2) != 0) fail("a child", "ended badly");
    call_well(bundle);
  }
}

/* Stacks are of eight gigabytes here (the caller's limit), and there is room for none. */
static void no_threads(const char* folder) {
  struct rlimit limit;
  long pages = 0;
  FILE* memory = fopen("/proc/self/statm", "r");
  if (memory == NULL || fscanf(memory, "%ld", &pages) != 1) fail("/proc/self/statm", "cannot be read");
  fclose(memory);
  getrlimit(RLIMIT_AS, &limit);
  limit.rlim_cur = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + ((rlim_t)4 << 30);
  setrlimit(RLIMIT_AS, &limit);
  const struct bundle bundle = open_bundle(folder);
  for (int i = 0; i < 3; ++i) call_well(&bundle);
  if (threads() != 1) fail("threads", "there is more than one");
}

static void several(char** folders, int count) {
  struct bundle bundles[MOST_BUNDLES];
  for (int i = 0; i < count; ++i) bundles[i] = open_bundle(folders[i]);
  for (int turn = 0; turn < 4; ++turn) {
    for (int i = 0; i < count; ++i) {
      call_well(&bundles[i]);
      index_of_row[7] = 1000; /* out of range, and found within a loop that threads share */
      if (call(&bundles[i]) != AOT_FAILED) fail("an index out of range", "is no error");
      if (strstr(bundles[i].last_error(), "index out of bounds") == NULL) fail("error", bundles[i].last_error());
      index_of_row[7] = 7;
    }
  }
  for (int i = 0; i < count; ++i) bundles[i].free_model(bundles[i].model);
}

int main(int count, char** words) {
  if (count < 3 || count - 2 > MOST_BUNDLES) return 2;
  for (int i = 0; i < ROWS * COLUMNS; ++i) x[i] = (float)(i * 37 % 101) / 101;
  for (int i = 0; i < ROWS; ++i) index_of_row[i] = i % 100;
  if (strcmp(words[1], "forks") == 0) {
    const struct bundle bundle = open_bundle(words[2]);
    forks(&bundle);
  } else if (strcmp(words[1], "no_threads") == 0) {
    no_threads(words[2]);
  } else {
    several(words + 2, count - 2);
  }
  return 0;
}
