/* A program of API version 1: built against the frozen header, run against the bundle of today. It calls every function
 * of that version and never changes; a new version of the header gets a consumer of its own. argv: model folder. */
#include <aot_bridge.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void require(int holds, const char* what) {
  if (holds) return;
  fprintf(stderr, "%s: %s\n", what, aot_last_error());
  exit(1);
}

/* A struct as an older program knows it: `known` bytes, then memory that is not the library's to touch. */
enum { CANARY = 0xAB, ROOM = 512 };
static unsigned char room[ROOM];

static void* older(uint32_t known) {
  memset(room, CANARY, ROOM);
  memset(room, 0, known);
  memcpy(room, &known, sizeof known);
  return room;
}

static int untouched(uint32_t known) {
  for (size_t at = known; at < ROOM; ++at) {
    if (room[at] != CANARY) return 0;
  }
  return 1;
}

int main(int argc, char** argv) {
  require(argc == 2, "one argument");
  require(aot_api_version() >= AOT_API_VERSION, "the library is at least as new as this program");
  require(aot_build_info()[0] == '{', "build info is JSON");

  aot_device_report report = {.struct_size = sizeof report};
  require(aot_device_check("cpu", &report) == AOT_OK && report.num_devices == 1 && report.name[0] != '\0',
          "the CPU works");
  require(aot_device_check("cpu", older(8)) == AOT_OK && untouched(8), "an older device report is respected");

  aot_load_options options = {.struct_size = sizeof options, .num_runners = 2, .device = "cpu"};
  aot_model* model = NULL;
  require(aot_model_load(argv[1], &options, &model) == AOT_OK, "the model loads");
  require(aot_model_num_inputs(model) == 1 && aot_model_num_outputs(model) == 1, "one input, one output");
  require(aot_model_device(model).type == AOT_DEVICE_CPU, "it runs on the CPU");
  require(aot_model_metadata(model)[0] == '{', "metadata is JSON");

  aot_tensor_info info = {.struct_size = sizeof info};
  require(aot_model_input_info(model, 0, &info) == AOT_OK && info.ndim == 2 && info.dims[1].max == 64,
          "the input is known");
  require(strcmp(info.name, "x") == 0 && info.dims[0].symbol != NULL, "the input has a name and a dynamic size");
  require(aot_model_output_info(model, 0, &info) == AOT_OK && info.dtype.bits == 32, "the output is known");
  require(aot_model_input_info(model, 0, older(16)) == AOT_OK && untouched(16), "an older tensor info is respected");
  require(aot_model_input_info(model, 1, &info) == AOT_USAGE, "there is no second input");

  static float data[2 * 64];
  int64_t shape[2] = {2, 64};
  aot_view view = {data, {AOT_DEVICE_CPU, 0}, 2, {AOT_FLOAT, 32, 1}, shape, NULL, 0};
  aot_tensor* output = NULL;
  aot_run_stats stats = {.struct_size = sizeof stats};
  require(aot_model_run(model, &view, 1, &output, 1, &stats) == AOT_OK && stats.latency_ms > 0, "the model runs");
  require(aot_tensor_view(output)->shape[1] == 10, "the output has its shape");
  float copy[2 * 10];
  require(aot_tensor_copy(output, copy, sizeof copy) == AOT_OK, "the output is copied");
  require(aot_tensor_copy(output, copy, 1) == AOT_USAGE, "a copy of another size is refused");
  aot_managed* managed = NULL;
  require(aot_tensor_to_dlpack(output, &managed) == AOT_OK, "the output goes to DLPack");

  require(aot_model_run(model, &view, 1, &output, 1, older(16)) == AOT_OK && untouched(16),
          "older stats are respected");
  aot_tensor_free(output);
  aot_tensor_free(NULL);

  aot_model_free(model);
  require(memcmp(managed->tensor.data, copy, sizeof copy) == 0, "an output outlives its model");
  managed->deleter(managed);
  aot_model_free(NULL);
  for (int at = 0; at < 20; ++at) printf("%.6g ", (double)copy[at]);
  return 0;
}
