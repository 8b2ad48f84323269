/* The C API called in a loop, for the Python program to time in its own process. */
#include <aot_bridge.h>
#include <stdlib.h>

void call_c(aot_model* model, float* data, int calls) {
  int64_t shape[2] = {8, 64};
  const aot_view view = {data, {AOT_DEVICE_CPU, 0}, 2, {AOT_FLOAT, 32, 1}, shape, NULL, 0};
  for (int index = 0; index < calls; ++index) {
    aot_tensor* output = NULL;
    if (aot_model_run(model, &view, 1, &output, 1, NULL) != AOT_OK) abort();
    aot_tensor_free(output);
  }
}
