/* SPDX-License-Identifier: Apache-2.0
 * Loads a model of one float32 input, runs it once, and keeps it until standard input ends.
 *
 *   hold BUNDLE/models/NAME ROWS COLUMNS
 */
#include <aot_bridge.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char** argv) {
  if (argc != 4) {
    return 2;
  }
  int64_t shape[2] = {atol(argv[2]), atol(argv[3])};
  float* data = calloc((size_t)(shape[0] * shape[1]), sizeof *data);
  if (!data) {
    return 1;
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
  puts("ready");
  fflush(stdout);
  while (getchar() != EOF) {
  }
  aot_tensor_free(output);
  aot_model_free(model);
  free(data);
  return 0;
}
