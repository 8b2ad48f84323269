/* Runs the bundle's only model, or the one that AOT_MODEL names, on zeros of the sizes that its signature asks for.
 * Exit code 77 means skipped. */
#include <aot_bridge.h>
#include <stdio.h>
#include <stdlib.h>

#include "bundle.h"
#include "npy.h"

enum { MAX_TENSORS = 32, SKIPPED = 77 };

static int failures = 0;

static void expect(int holds, const char* what) {
  if (holds) return;
  ++failures;
  fprintf(stderr, "failed: %s (%s)\n", what, aot_last_error());
}

/* An input of the smallest size that the model takes, or of 2 where it may choose. */
static npy_array zeros(const aot_tensor_info* info) {
  npy_array array = {.dtype = info->dtype, .ndim = info->ndim};
  size_t bytes = info->dtype.bits / 8;
  for (int32_t axis = 0; axis < info->ndim; ++axis) {
    const aot_dim dim = info->dims[axis];
    array.shape[axis] = dim.max < 2 ? dim.max : dim.min > 2 ? dim.min : 2;
    bytes *= (size_t)array.shape[axis];
  }
  array.data = calloc(1, bytes > 0 ? bytes : 1);
  if (array.data == NULL) abort();
  return array;
}

int main(void) {
  char path[4096];
  if (find_model(getenv("AOT_MODEL"), path, sizeof path) != AOT_OK) return 1;
  aot_model* model = NULL;
  expect(aot_model_load(path, NULL, &model) == AOT_OK, "the model loads");
  if (model == NULL) return 1;

  const size_t num_inputs = aot_model_num_inputs(model);
  const size_t num_outputs = aot_model_num_outputs(model);
  npy_array arrays[MAX_TENSORS] = {{0}};
  aot_view views[MAX_TENSORS + 1];
  aot_tensor* outputs[MAX_TENSORS] = {NULL};
  for (size_t index = 0; index < num_inputs; ++index) {
    aot_tensor_info info = {.struct_size = sizeof info};
    expect(aot_model_input_info(model, index, &info) == AOT_OK, "an input has a description");
    if (info.ndim < 0) {
      fputs("skipped: the package does not say what the model's inputs are\n", stderr);
      return SKIPPED;
    }
    arrays[index] = zeros(&info);
    views[index] = npy_view(&arrays[index]);
  }

  aot_run_stats stats = {.struct_size = sizeof stats};
  expect(aot_model_run(model, views, num_inputs, outputs, num_outputs, &stats) == AOT_OK, "the model runs");
  expect(stats.latency_ms > 0, "a run takes time");
  for (size_t index = 0; index < num_outputs; ++index) aot_tensor_free(outputs[index]);

  int64_t one = 1;
  char byte = 0;
  views[num_inputs] = (aot_view){&byte, {AOT_DEVICE_CPU, 0}, 1, {AOT_UINT, 8, 1}, &one, NULL, 0};
  expect(aot_model_run(model, views, num_inputs + 1, outputs, num_outputs, NULL) == AOT_USAGE,
         "an input too many is refused");
  for (size_t index = 0; index < num_inputs; ++index) npy_free(&arrays[index]);
  aot_model_free(model);

  expect(aot_model_load("/nonexistent", NULL, &model) != AOT_OK, "a missing model is an error, not a crash");
  return failures == 0 ? 0 : 1;
}
