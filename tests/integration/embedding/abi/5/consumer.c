/* A program of API version 5: what version 4 did not have. Built against the frozen header, run against the bundle of
 * today. argv: a model that takes chunks of 512 numbers and remembers them. */
#include <aot_bridge.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void require(int holds, const char* what) {
  if (holds) return;
  fprintf(stderr, "%s: %s\n", what, aot_last_error());
  exit(1);
}

static float chunk[512];
static int64_t shape[2] = {1, 512};
static const aot_view input = {chunk, {AOT_DEVICE_CPU, 0}, 2, {AOT_FLOAT, 32, 1}, shape, NULL, 0};

static float next(aot_session* session) {
  aot_tensor* output = NULL;
  aot_run_stats stats;
  memset(&stats, 0, sizeof stats);
  stats.struct_size = sizeof stats;
  require(aot_session_run(session, &input, 1, &output, 1, &stats) == AOT_OK, "the session runs");
  require(stats.latency_ms > 0, "the run took time");
  const float value = ((const float*)aot_tensor_view(output)->data)[0];
  aot_tensor_free(output);
  return value;
}

int main(int argc, char** argv) {
  require(argc == 2, "one argument");
  require(aot_api_version() >= AOT_API_VERSION, "the library is at least as new as this program");
  for (int index = 0; index < 512; ++index) chunk[index] = (float)(index % 7) - 3;
  aot_model* model = NULL;
  aot_session* session = NULL;
  aot_session* other = NULL;
  aot_session* copy = NULL;
  require(aot_model_load(argv[1], NULL, &model) == AOT_OK, "the model loads");
  require(aot_session_create(model, &session) == AOT_OK, "a session is made");
  require(aot_session_create(model, &other) == AOT_OK, "and another");
  const float first = next(session);
  const float second = next(session);
  require(first != second, "it remembers");
  require(next(other) == first, "each has a state of its own");

  const size_t size = aot_session_saved_size(session);
  unsigned char* state = malloc(size);
  require(state != NULL && size > 32 * 4, "the state has a size");
  require(aot_session_save(session, state, size) == AOT_OK, "and is saved");
  require(aot_session_copy(session, &copy) == AOT_OK, "a session is copied");
  const float third = next(session);
  require(next(copy) == third, "the copy goes on from there");
  require(aot_session_restore(other, state, size) == AOT_OK && next(other) == third, "so does one that is restored");
  require(aot_session_reset(session) == AOT_OK && next(session) == first, "and one that is reset begins again");

  require(aot_session_restore(session, state, size - 1) == AOT_USAGE, "a part of a state is none");
  require(aot_session_save(session, state, size - 1) == AOT_USAGE, "a state is saved whole");
  require(next(session) == second, "nothing has changed by that");
  aot_tensor* output = NULL;
  require(aot_session_run_const(session, &input, 1, &output, 1, NULL) == AOT_OK, "inputs may be constant");
  require(((const float*)aot_tensor_view(output)->data)[0] == third, "the state goes on");
  aot_model_free(model);
  aot_session_free(copy);
  require(next(other) != third, "a session outlives its model");
  aot_session_free(session);
  aot_session_free(other);
  aot_session_free(NULL);
  require(aot_tensor_view(output)->shape[0] == 1, "an output outlives all");
  aot_tensor_free(output);
  free(state);

  require(aot_session_saved_size(NULL) == 0, "no session has no state");
  require(aot_session_create(NULL, &session) == AOT_USAGE && session == NULL, "NULL is no model");
  require(aot_session_run(NULL, &input, 1, &output, 1, NULL) == AOT_USAGE, "NULL is no session");
  require(aot_session_reset(NULL) == AOT_USAGE && aot_session_save(NULL, chunk, 4) == AOT_USAGE, "nor elsewhere");
  return 0;
}
