/* A program of API version 4: what version 3 did not have. Built against the frozen header, run against the bundle of
 * today. argv: a model without variants. */
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
  const char* told = NULL;
  require(aot_model_variants(argv[1], NULL, &told) == AOT_OK, "a model says which variants it has");
  require(strstr(told, "\"chosen\": null") != NULL && strstr(told, "\"variants\": []") != NULL, "it has none");
  require(aot_model_variants("nothing", NULL, &told) == AOT_DAMAGED && told == NULL, "no model");
  require(aot_model_variants(argv[1], NULL, NULL) == AOT_USAGE, "there must be a place for the text");

  aot_model* model = NULL;
  aot_load_options options = {.struct_size = sizeof options};
  require(aot_model_load(argv[1], &options, &model) == AOT_OK, "no variant is asked for");
  require(aot_model_variant(model)[0] == '\0' && aot_model_variant(NULL)[0] == '\0', "none runs");
  aot_model_free(model);
  options.variant = "avx2";
  require(aot_model_load(argv[1], &options, &model) == AOT_USAGE && model == NULL, "one that is not there");
  require(strstr(aot_last_error(), "avx2") != NULL, "the message names it");
  return 0;
}
