/* Runs a model of one bfloat16 input, of which a variant's code uses the tiles of AMX, and says what came of it.
 *
 *   tiles BUNDLE/models/NAME ROWS COLUMNS THREADS         callers that were there before the model, and a child, must
 *                                                         get what the first call got
 *   tiles BUNDLE/models/NAME ROWS COLUMNS THREADS count   for a process that does not have the tiles and believes that
 *                                                         it has: how many threads use them?
 */
#include <aot_bridge.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CALLERS = 3, CALLS = 20, SECONDS = 60 };

static aot_model* model;
static int64_t shape[2];
static uint16_t* data;
static void* expected;
static size_t size;
static pthread_barrier_t loaded;

static void die(const char* what) {
  fprintf(stderr, "%s: %s\n", what, aot_last_error());
  exit(1);
}

/* What one call gives; the caller's to free. */
static void* call(void) {
  const aot_view input = {data, {AOT_DEVICE_CPU, 0}, 2, {AOT_BFLOAT, 16, 1}, shape, NULL, 0};
  aot_tensor* output = NULL;
  if (aot_model_run(model, &input, 1, &output, 1, NULL) != AOT_OK) {
    die("run");
  }
  const aot_view* view = aot_tensor_view(output);
  size = (size_t)(view->shape[0] * view->shape[1]) * view->dtype.bits / 8;
  void* copy = malloc(size);
  if (copy == NULL || aot_tensor_copy(output, copy, size) != AOT_OK) {
    die("copy");
  }
  aot_tensor_free(output);
  return copy;
}

static int is_the_same(void) {
  int same = 1;
  for (int i = 0; i < CALLS; ++i) {
    void* got = call();
    same = same && memcmp(got, expected, size) == 0;
    free(got);
  }
  return same;
}

static void* caller(void* same) {
  pthread_barrier_wait(&loaded);
  *(int*)same = is_the_same();
  return NULL;
}

static void load(const char* path, uint32_t threads) {
  aot_load_options options = {sizeof options, CALLERS, NULL, threads, 0, NULL};
  if (aot_model_load(path, &options, &model) != AOT_OK) {
    die("load");
  }
}

static int compare(const char* path, uint32_t threads) {
  pthread_t callers[CALLERS];
  int same[CALLERS];
  pthread_barrier_init(&loaded, NULL, CALLERS + 1);
  for (int i = 0; i < CALLERS; ++i) {
    pthread_create(&callers[i], NULL, caller, &same[i]);
  }
  load(path, threads);
  expected = call();
  pthread_barrier_wait(&loaded);
  int all = 1;
  for (int i = 0; i < CALLERS; ++i) {
    pthread_join(callers[i], NULL);
    all = all && same[i];
  }
  const pid_t child = fork();
  if (child == 0) {
    _exit(!is_the_same());
  }
  int status = 1;
  waitpid(child, &status, 0);
  printf("variant %s: callers %s, child %s\n", aot_model_variant(model), all ? "agree" : "differ",
         status == 0 ? "agrees" : "differs");
  return 0;
}

static volatile int stopped;
static int awaited;

/* The first tile of a thread stops it. The last one of those that there are says so, and ends the process. */
static void stop(int signal_number) {
  static const char text[] = "all threads use tiles\n";
  (void)signal_number;
  if (__atomic_add_fetch(&stopped, 1, __ATOMIC_SEQ_CST) == awaited) {
    _exit(write(1, text, sizeof text - 1) < 0);
  }
  for (;;) {
    pause();
  }
}

static int count(const char* path, uint32_t threads) {
  awaited = (int)threads;
  signal(SIGILL, stop);
  alarm(SECONDS); /* where some use none, nobody else ends it */
  load(path, threads);
  expected = call();
  puts("no thread uses tiles");
  return 0;
}

int main(int argc, char** argv) {
  if (argc < 5) {
    return 2;
  }
  shape[0] = atol(argv[2]);
  shape[1] = atol(argv[3]);
  const size_t numbers = (size_t)(shape[0] * shape[1]);
  data = malloc(numbers * sizeof *data);
  if (data == NULL) {
    return 1;
  }
  for (size_t i = 0; i < numbers; ++i) {
    data[i] = (uint16_t)(0x3f80 + i % 61); /* from 1 to 1.5 */
  }
  return (argc == 5 ? compare : count)(argv[1], (uint32_t)atol(argv[4]));
}
