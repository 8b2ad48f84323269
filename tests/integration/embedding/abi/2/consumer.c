/* A program of API version 2: what version 1 did not have. Built against the frozen header, run against the bundle of
 * today. argv: a model that adds its second input to its first one in place. */
#include <aot_bridge.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void require(int holds, const char* what) {
  if (holds) return;
  fprintf(stderr, "%s: %s\n", what, aot_last_error());
  exit(1);
}

int main(int argc, char** argv) {
  require(argc == 2, "one argument");
  require(aot_api_version() >= AOT_API_VERSION, "the library is at least as new as this program");
  aot_model* model = NULL;
  require(aot_model_load(argv[1], NULL, &model) == AOT_OK, "the model loads");

  aot_tensor_info info = {.struct_size = sizeof info};
  require(aot_model_input_info(model, 0, &info) == AOT_OK && info.mutation == AOT_MUTATED, "the state is written into");
  require(aot_model_input_info(model, 1, &info) == AOT_OK && info.mutation == AOT_NOT_MUTATED, "the other is not");
  /* As a program of version 1 knows the struct: what follows is not the library's to touch. */
  aot_tensor_info older;
  memset(&older, 0xAB, sizeof older);
  older.struct_size = offsetof(aot_tensor_info, mutation);
  require(aot_model_input_info(model, 0, &older) == AOT_OK && older.ndim == 1, "an older tensor info is filled in");
  require(older.mutation == (int32_t)0xABABABAB, "and nothing beyond it");

  float state[4] = {1, 2, 3, 4};
  float x[4] = {10, 20, 30, 40};
  int64_t shape[1] = {4};
  const aot_view inputs[2] = {
      {state, {AOT_DEVICE_CPU, 0}, 1, {AOT_FLOAT, 32, 1}, shape, NULL, 0},
      {x, {AOT_DEVICE_CPU, 0}, 1, {AOT_FLOAT, 32, 1}, shape, NULL, 0},
  };
  aot_tensor* outputs[3];
  aot_run_stats stats = {.struct_size = sizeof stats};
  require(aot_model_run_const(model, inputs, 2, outputs, 3, &stats) == AOT_OK, "the model runs on const inputs");
  require(state[0] == 1 && state[3] == 4, "a const input stays as it was");
  require(((const float*)aot_tensor_view(outputs[0])->data)[3] == 44, "the model saw its own writes");
  for (int index = 0; index < 3; ++index) aot_tensor_free(outputs[index]);

  require(aot_model_run(model, inputs, 2, outputs, 3, NULL) == AOT_OK, "the model runs in place");
  require(state[0] == 11 && state[3] == 44, "an input that is not const changes");
  for (int index = 0; index < 3; ++index) aot_tensor_free(outputs[index]);
  aot_model_free(model);
  return 0;
}
