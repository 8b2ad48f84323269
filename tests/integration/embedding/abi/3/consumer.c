/* A program of API version 3: what version 2 did not have. Built against the frozen header, run against the bundle of
 * today. argv: a model that takes rows of 64 numbers. */
#include <aot_bridge.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void require(int holds, const char* what) {
  if (holds) return;
  fprintf(stderr, "%s: %s\n", what, aot_last_error());
  exit(1);
}

static unsigned char* read_all(const char* path, size_t* size) {
  FILE* file = fopen(path, "rb");
  require(file != NULL && fseek(file, 0, SEEK_END) == 0, "the package is there");
  *size = (size_t)ftell(file);
  unsigned char* bytes = malloc(*size);
  require(bytes != NULL && fseek(file, 0, SEEK_SET) == 0 && fread(bytes, 1, *size, file) == *size, "and can be read");
  fclose(file);
  return bytes;
}

static float first_of(aot_model* model) {
  float x[64];
  for (int index = 0; index < 64; ++index) x[index] = (float)index / 64;
  int64_t shape[2] = {1, 64};
  const aot_view input = {x, {AOT_DEVICE_CPU, 0}, 2, {AOT_FLOAT, 32, 1}, shape, NULL, 0};
  aot_tensor* output = NULL;
  require(aot_model_run_const(model, &input, 1, &output, 1, NULL) == AOT_OK, "the model runs");
  const float value = ((const float*)aot_tensor_view(output)->data)[0];
  aot_tensor_free(output);
  return value;
}

int main(int argc, char** argv) {
  require(argc == 2, "one argument");
  require(aot_api_version() >= AOT_API_VERSION, "the library is at least as new as this program");
  size_t size = 0;
  unsigned char* bytes = read_all(argv[1], &size);
  aot_model* model = NULL;
  aot_model* other = NULL;
  require(aot_model_load_memory(bytes, size, NULL, &model) == AOT_OK, "a package in memory loads");
  memset(bytes, 0, size);
  free(bytes);
  require(aot_model_load(argv[1], NULL, &other) == AOT_OK, "the same from its file");
  const float from_memory = first_of(model);
  aot_model_free(model);
  require(from_memory == first_of(other), "both compute the same, the bytes long gone");
  aot_model_free(other);

  model = (aot_model*)&size;
  require(aot_model_load_memory("no package", 10, NULL, &model) == AOT_DAMAGED && model == NULL, "bytes of no package");
  require(strstr(aot_last_error(), "\n") != NULL, "the message has lines");
  require(aot_model_load_memory("", 0, NULL, &model) == AOT_DAMAGED, "no bytes at all");
  require(aot_model_load_memory(NULL, 10, NULL, &model) == AOT_USAGE, "NULL is refused");
  require(aot_model_load_memory("no package", 10, NULL, NULL) == AOT_USAGE, "there must be a place for the model");
  return 0;
}
