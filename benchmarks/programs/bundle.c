/* SPDX-License-Identifier: Apache-2.0
 * The same through a bundle's C API.
 *
 *   bundle BUNDLE/models/NAME ROWS COLUMNS CALLS
 */
#include <aot_bridge.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int ascending(const void* a, const void* b) {
  const double x = *(const double*)a;
  const double y = *(const double*)b;
  return (x > y) - (x < y);
}

int main(int argc, char** argv) {
  if (argc != 5) {
    return 2;
  }
  int64_t shape[2] = {atol(argv[2]), atol(argv[3])};
  const size_t numel = (size_t)(shape[0] * shape[1]);
  float* data = malloc(numel * sizeof *data);
  const long calls = atol(argv[4]);
  double* times = malloc((size_t)(calls > 0 ? calls : 1) * sizeof *times);
  if (!data || !times) {
    return 1;
  }
  for (size_t i = 0; i < numel; ++i) {
    data[i] = 1.0F;
  }
  const aot_view input = {data, {AOT_DEVICE_CPU, 0}, 2, {AOT_FLOAT, 32, 1}, shape, NULL, 0};
  aot_load_options options = {sizeof options, 1, NULL, 1, 0};
  aot_model* model = NULL;
  aot_tensor* output = NULL;
  if (aot_model_load(argv[1], &options, &model) != AOT_OK ||
      aot_model_run(model, &input, 1, &output, 1, NULL) != AOT_OK) {
    fprintf(stderr, "%s\n", aot_last_error());
    return 1;
  }
  printf("%.6f\n", (double)((const float*)aot_tensor_view(output)->data)[0]);
  fflush(stdout);
  aot_tensor_free(output);
  for (long call = 0; call < calls; ++call) {
    const double start = now_us();
    if (aot_model_run(model, &input, 1, &output, 1, NULL) != AOT_OK) {
      return 1;
    }
    aot_tensor_free(output);
    times[call] = now_us() - start;
  }
  qsort(times, (size_t)calls, sizeof *times, ascending);
  printf("%.3f\n", calls ? times[calls / 2] : 0.0);
  aot_model_free(model);
  free(times);
  free(data);
  return 0;
}
