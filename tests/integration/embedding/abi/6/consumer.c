/* A program of API version 6: what version 5 did not have. Built against the frozen header, run against the bundle of
 * today. argv: a model whose weights suit this CPU as they are. */
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
  (void)argc;
  aot_model* model = NULL;
  const char* told = NULL;
  aot_load_options options = {.struct_size = sizeof options};
  options.prepared = "no such folder";
  require(aot_model_load(argv[1], &options, &model) == AOT_OK, "what is not there is not asked for");
  require(aot_model_prepared(model)[0] == '\0' && aot_model_prepared(NULL)[0] == '\0', "nothing is mapped");
  require(aot_model_prepare(model, "no such folder", &told) == AOT_OK, "there is nothing to prepare");
  require(strstr(told, "\"file\": null") != NULL && strstr(told, "\"reason\": \"") != NULL, "and it says why");
  require(aot_model_prepare(NULL, "folder", &told) == AOT_USAGE && told == NULL, "NULL is no model");
  require(aot_model_prepare(model, NULL, &told) == AOT_USAGE, "nor a folder");
  require(aot_model_prepare(model, "folder", NULL) == AOT_USAGE, "there must be a place for the text");
  aot_model_free(model);
  return 0;
}
