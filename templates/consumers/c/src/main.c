/* aot-app: runs the bundle's model on .npy files and prints what comes out. */
#include <aot_bridge.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bundle.h"
#include "npy.h"

enum { MAX_TENSORS = 32, SHOWN = 8 };

static const char usage[] =
    "usage: aot-app [--model NAME] [--device cpu|cuda[:N]|rocm[:N]] INPUT.npy...\n"
    "one .npy file per input, in the model's order; the bundle is ./bundle beside the program, or AOT_BUNDLE\n";

static aot_status failed(aot_status status) {
  fprintf(stderr, "error: %s\n", aot_last_error());
  return status;
}

static void print_element(const void* elements, aot_dtype dtype, size_t index) {
  if (dtype.code == AOT_FLOAT && dtype.bits == 32) printf(" %g", (double)((const float*)elements)[index]);
  if (dtype.code == AOT_FLOAT && dtype.bits == 64) printf(" %g", ((const double*)elements)[index]);
  if (dtype.code == AOT_INT && dtype.bits == 64) printf(" %" PRId64, ((const int64_t*)elements)[index]);
  if (dtype.code == AOT_INT && dtype.bits == 32) printf(" %" PRId32, ((const int32_t*)elements)[index]);
}

/* Prints a name, a shape and the first elements, from whatever device they are on. */
static aot_status print_tensor(const char* name, const aot_tensor* tensor) {
  const aot_view* view = aot_tensor_view(tensor);
  size_t count = 1;
  printf("%s: [", name);
  for (int32_t axis = 0; axis < view->ndim; ++axis) {
    printf("%s%" PRId64, axis == 0 ? "" : ", ", view->shape[axis]);
    count *= (size_t)view->shape[axis];
  }
  printf("] =");

  const size_t bytes = count * view->dtype.bits / 8;
  void* elements = malloc(bytes > 0 ? bytes : 1);
  if (elements == NULL) abort();
  const aot_status status = aot_tensor_copy(tensor, elements, bytes);
  for (size_t index = 0; status == AOT_OK && index < count && index < SHOWN; ++index) {
    print_element(elements, view->dtype, index);
  }
  puts(count > SHOWN ? " ..." : "");
  free(elements);
  return status == AOT_OK ? AOT_OK : failed(status);
}

/* Runs a loaded model and prints every output. */
static aot_status run(aot_model* model, npy_array* arrays, size_t num_inputs) {
  const size_t num_outputs = aot_model_num_outputs(model);
  if (num_outputs > MAX_TENSORS) {
    fprintf(stderr, "error: the model has %zu outputs\nthis program takes up to %d\nraise MAX_TENSORS\n", num_outputs,
            MAX_TENSORS);
    return AOT_USAGE;
  }
  aot_view views[MAX_TENSORS];
  for (size_t index = 0; index < num_inputs; ++index) views[index] = npy_view(&arrays[index]);

  aot_tensor* outputs[MAX_TENSORS];
  aot_run_stats stats = {.struct_size = sizeof stats};
  aot_status status = aot_model_run(model, views, num_inputs, outputs, num_outputs, &stats);
  if (status != AOT_OK) return failed(status);

  for (size_t index = 0; index < num_outputs; ++index) {
    aot_tensor_info info = {.struct_size = sizeof info};
    if (status == AOT_OK) status = aot_model_output_info(model, index, &info);
    if (status == AOT_OK) status = print_tensor(info.name, outputs[index]);
    aot_tensor_free(outputs[index]);
  }
  fprintf(stderr, "%.3f ms\n", stats.latency_ms);
  return status;
}

int main(int argc, char** argv) {
  const char* model_name = NULL;
  aot_load_options options = {.struct_size = sizeof options};
  npy_array arrays[MAX_TENSORS];
  size_t num_inputs = 0;
  aot_status status = AOT_OK;
  for (int index = 1; index < argc && status == AOT_OK; ++index) {
    const int has_value = index + 1 < argc;
    if (strcmp(argv[index], "--model") == 0 && has_value) {
      model_name = argv[++index];
    } else if (strcmp(argv[index], "--device") == 0 && has_value) {
      options.device = argv[++index];
    } else if (argv[index][0] == '-' || num_inputs == MAX_TENSORS) {
      fputs(usage, stderr);
      status = AOT_USAGE;
    } else {
      status = npy_load(argv[index], &arrays[num_inputs]);
      if (status == AOT_OK) ++num_inputs;
    }
  }

  char path[4096];
  if (status == AOT_OK) status = find_model(model_name, path, sizeof path);
  if (status == AOT_OK) {
    aot_model* model = NULL;
    status = aot_model_load(path, &options, &model);
    status = status == AOT_OK ? run(model, arrays, num_inputs) : failed(status);
    aot_model_free(model);
  }
  while (num_inputs > 0) npy_free(&arrays[--num_inputs]);
  return status; /* one of the exit codes of aotpack: 0, 1, 2, 5, 6, 7 */
}
