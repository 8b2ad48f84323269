/* SPDX-License-Identifier: Apache-2.0
 *
 * aot_bridge.h: the C API of an aotpack bundle.
 *
 * Load a model, describe its inputs, run it, keep the outputs. Plain C99, no torch, no Python.
 *
 *     aot_model* model = NULL;
 *     aot_tensor* outputs[1];
 *     if (aot_model_load("dist/mlp/models/mlp", NULL, &model) != AOT_OK) { puts(aot_last_error()); return 1; }
 *     int64_t shape[2] = {8, 64};
 *     aot_view input = {data, {AOT_DEVICE_CPU, 0}, 2, {AOT_FLOAT, 32, 1}, shape, NULL, 0};
 *     if (aot_model_run(model, &input, 1, outputs, 1, NULL) != AOT_OK) { puts(aot_last_error()); return 1; }
 *     const float* y = aot_tensor_view(outputs[0])->data;
 *
 * Rules that hold everywhere:
 *  - A function returns AOT_OK (0) or a status whose number is also the exit code of the command line tools.
 *    After a failure aot_last_error() tells, on the same thread, what is wrong, what it means and what to do.
 *  - Structs whose first field is `struct_size` may grow at their end. Set it to sizeof(the struct) before
 *    the call; the library never touches bytes beyond it.
 *  - No exception and no signal leaves the library because of an input: every input is checked against the model's
 *    signature before the model sees it. What no check can see is yours: memory that is not there although a view says
 *    so, and the model itself. A model is code, like any shared library: who can write its files decides what this
 *    process does, and one whose files are truncated or overwritten in place while it is loaded (replace them by
 *    renaming) may end the process by SIGBUS. What is truncated or contradicts itself before that is AOT_DAMAGED.
 *    An index in an input's values that leaves its tensor is AOT_FAILED; of a package that aotpack did not export, in a
 *    bundle with libtorch, it may end the process where a loop that threads share finds it: nothing leaves those.
 *  - A model may be used from many threads at once. A tensor belongs to one thread at a time.
 */
#ifndef AOT_BRIDGE_H
#define AOT_BRIDGE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define AOT_API __attribute__((visibility("default")))
#else
#define AOT_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Grows by one whenever a function or a field is added. Functions are never changed or removed. */
#define AOT_API_VERSION 6

/* ---- status ------------------------------------------------------------------------------------------------- */

typedef int32_t aot_status;
enum {
  AOT_OK = 0,
  AOT_FAILED = 1,          /* the model or the runtime raised an error */
  AOT_USAGE = 2,           /* an argument or an input does not fit the call: count, name, dtype, rank, size, device */
  AOT_MODEL_MISMATCH = 5,  /* the model does not fit this bundle or machine type */
  AOT_DAMAGED = 6,         /* a file of the model is missing, truncated or malformed */
  AOT_MACHINE_MISMATCH = 7 /* this machine cannot run it: CPU features, driver, device, libc */
};

/* The message of this thread's last failure: three lines, UTF-8, never NULL, valid until this thread's next call. */
AOT_API const char* aot_last_error(void);

/* The API version of the library that is loaded (AOT_API_VERSION is the one compiled against). */
AOT_API uint32_t aot_api_version(void);

/* ---- tensors: the memory layout of DLPack's DLTensor and DLManagedTensor ------------------------------------- */

enum { AOT_DEVICE_CPU = 1, AOT_DEVICE_CUDA = 2, AOT_DEVICE_ROCM = 10 };                           /* DLDeviceType */
enum { AOT_INT = 0, AOT_UINT = 1, AOT_FLOAT = 2, AOT_BFLOAT = 4, AOT_COMPLEX = 5, AOT_BOOL = 6 }; /* DLDataTypeCode */

typedef struct aot_device {
  int32_t type; /* AOT_DEVICE_* */
  int32_t index;
} aot_device;

typedef struct aot_dtype {
  uint8_t code;   /* AOT_INT, ... */
  uint8_t bits;   /* of one element: 8, 16, 32, 64, 128; 8 for bool */
  uint16_t lanes; /* always 1 */
} aot_dtype;

/* Borrowed memory with a shape. Same layout as DLTensor, which is frozen, so this struct never grows. */
typedef struct aot_view {
  void* data;
  aot_device device;
  int32_t ndim;
  aot_dtype dtype;
  int64_t* shape;   /* ndim sizes */
  int64_t* strides; /* ndim strides in elements, or NULL for C order */
  uint64_t byte_offset;
} aot_view;

/* Same layout as DLManagedTensor. Call deleter(self) once when done. */
typedef struct aot_managed {
  aot_view tensor;
  void* manager_ctx;
  void (*deleter)(struct aot_managed* self);
} aot_managed;

/* An output, owned by the caller until aot_tensor_free or aot_tensor_to_dlpack. */
typedef struct aot_tensor aot_tensor;

/* The memory of an output; valid as long as the tensor. */
AOT_API const aot_view* aot_tensor_view(const aot_tensor* tensor);

/* Copies an output into `bytes` of host memory at `destination`, C order, from whatever device it is on.
 * `bytes` must be the tensor's size exactly (product of shape times element size). */
AOT_API aot_status aot_tensor_copy(const aot_tensor* tensor, void* destination, size_t bytes);

/* Hands the memory over to a DLPack consumer; `tensor` is consumed, also on failure. */
AOT_API aot_status aot_tensor_to_dlpack(aot_tensor* tensor, aot_managed** out);

/* NULL is allowed. */
AOT_API void aot_tensor_free(aot_tensor* tensor);

/* ---- models -------------------------------------------------------------------------------------------------- */

typedef struct aot_model aot_model;

typedef struct aot_load_options {
  uint32_t struct_size;
  uint32_t num_runners; /* callers that can run at the same time; others wait. 0 means 1 */
  const char* device;   /* "cpu", "cuda", "cuda:1", "rocm", "rocm:1"; NULL means the model's own */
  uint32_t num_threads; /* of the CPU thread pool, process-wide; 0 leaves the runtime's choice */
  uint32_t reserved;    /* 0 */
  /* since version 4 */
  const char* variant; /* of a model that has several, the one to run, such as "avx2"; NULL: what the environment
                          variable AOT_VARIANT names, or the best that this machine can run */
  /* since version 6 */
  const char* prepared; /* a folder with weights that aot_model_prepare has written; NULL: what the environment variable
                           AOT_PREPARED names; "": none */
} aot_load_options;

/* Loads a bundle's model folder (bundle/models/NAME) or a .pt2 archive. `options` may be NULL.
 * Weights are mapped, not read; nothing is written to any disk. */
AOT_API aot_status aot_model_load(const char* path, const aot_load_options* options, aot_model** out);

/* Loads a .pt2 archive of `size` bytes that is in memory. They are copied, and may be freed when the call returns.
 * Nothing is written to any disk, but to $TMPDIR where a system has no files in memory. Since version 3. */
AOT_API aot_status aot_model_load_memory(const void* data, size_t size, const aot_load_options* options,
                                         aot_model** out);

/* Waits for running calls. NULL is allowed. Outputs stay valid: they hold on to what they need. */
AOT_API void aot_model_free(aot_model* model);

typedef struct aot_dim {
  int64_t min;        /* >= 0 */
  int64_t max;        /* INT64_MAX when unbounded; equal to min when fixed; both -1 when unknown (outputs only) */
  const char* symbol; /* NULL unless dynamic; dims of one symbol must agree among all inputs */
} aot_dim;

typedef struct aot_tensor_info {
  uint32_t struct_size;
  int32_t ndim;        /* -1 when the package says nothing about it (made by plain PyTorch) */
  const char* name;    /* never NULL */
  aot_dtype dtype;     /* bits == 0 when unknown */
  uint32_t reserved;   /* 0 */
  const aot_dim* dims; /* ndim entries; valid as long as the model */
  /* since version 2 */
  int32_t mutation;    /* of an input: AOT_MUTATION_UNKNOWN, ... */
  uint32_t reserved_2; /* 0 */
} aot_tensor_info;

/* Whether the model writes into an input in place. An older library, which says nothing about it, leaves 0 as it is. */
enum { AOT_MUTATION_UNKNOWN = 0, AOT_NOT_MUTATED = 1, AOT_MUTATED = 2 };

AOT_API size_t aot_model_num_inputs(const aot_model* model);
AOT_API size_t aot_model_num_outputs(const aot_model* model);
AOT_API aot_status aot_model_input_info(const aot_model* model, size_t index, aot_tensor_info* info);
AOT_API aot_status aot_model_output_info(const aot_model* model, size_t index, aot_tensor_info* info);

/* The device the model runs on. */
AOT_API aot_device aot_model_device(const aot_model* model);

/* The model's metadata (docs/bundle-format.md, "model.json") as JSON text; valid as long as the model. */
AOT_API const char* aot_model_metadata(const aot_model* model);

/* A file that travels with the models of the bundle (bundle/assets/NAME): `*size` bytes at `*data`, mapped, valid as
 * long as the model, for reading only. `name` is relative, with '/' between folders. AOT_USAGE when there is none of
 * that name, as of a model outside of a bundle. Since version 4. */
AOT_API aot_status aot_model_asset(const aot_model* model, const char* name, const void** data, size_t* size);

/* The name of the variant that runs, such as "avx2"; "" when the model has one form only. Valid as long as the model.
 * Since version 4. */
AOT_API const char* aot_model_variant(const aot_model* model);

/* Which variants the model at `path` has, and which one aot_model_load would take here with the same `options`, as one
 * JSON object: {"schema": 1, "chosen": "avx2", "obstacle": null, "variants": [{"name": "baseline", "device": "cpu",
 * "cpu_features": [], "gpu_archs": [], "obstacle": null}, ...]}, the least demanding first. `obstacle` says why this
 * machine cannot run one, and before them why it cannot run the model; `chosen` is null when it can run none, or when
 * there are none. Loads no code. `*out` is valid until this thread's next call of this function. Since version 4. */
AOT_API aot_status aot_model_variants(const char* path, const aot_load_options* options, const char** out);

/* Writes the model's weights as this kind of CPU reads them fastest into a folder: where oneDNN packed them for another
 * kind when the model was exported, and each process has put them into its order for itself, in memory of its own; and
 * where their order follows the number of threads, which was one at export. Who loads the model with that folder as
 * aot_load_options.prepared and as many threads, here or on another machine of the kind, maps the file, and all
 * processes share it. The file is there as a whole or not at all; nothing else is written.
 * `*out` is one JSON object: {"schema": 1, "file": "FOLDER/AVX2-1-0123456789abcdef.weights", "weights": 53, "bytes":
 * 102000000, "reason": null}; without anything to prepare `file` is null and `reason` says why. It is valid until this
 * thread's next call of this function. AOT_FAILED when the folder cannot be written to, AOT_MODEL_MISMATCH when the
 * package or libtorch is too old. Since version 6. */
AOT_API aot_status aot_model_prepare(const aot_model* model, const char* folder, const char** out);

/* The file of prepared weights that the model has mapped; "" when there is none. A file that is there and not whole, or
 * not this model's, is an error of aot_model_load; one that is not there is none. Valid as long as the model. Since
 * version 6. */
AOT_API const char* aot_model_prepared(const aot_model* model);

typedef struct aot_run_stats {
  uint32_t struct_size;
  uint32_t reserved;
  double latency_ms;          /* wall time of the model's run, device synchronised before and after */
  uint64_t device_used_bytes; /* GPU: total - free after the run; CPU: 0 */
  uint64_t device_total_bytes;
  uint64_t peak_rss_bytes; /* of this process so far */
} aot_run_stats;

/* Runs the model. `inputs` in the order of aot_model_input_info, borrowed for the call; CPU inputs of a CPU model are
 * not copied if they are in C order and aligned to their elements; others are, and so are host inputs of a GPU model.
 * A model that writes into an input changes the caller's memory, as in Python, except from a GPU back to the host.
 * `outputs` receives num_outputs owned tensors, all or none. They never share memory with an input or a weight: where
 * the model returns a view of one, the output is a copy. They may share it with each other, as in Python, where the
 * model returns a tensor twice or a view of another output. Of a package made by plain PyTorch, one is NULL where the
 * model returns None. `stats` may be NULL (GPU work is synchronised before the call returns either way). */
AOT_API aot_status aot_model_run(aot_model* model, const aot_view* inputs, size_t num_inputs, aot_tensor** outputs,
                                 size_t num_outputs, aot_run_stats* stats);

/* Runs the model as aot_model_run does, but writes into no input: of one that the model changes in place, or of which
 * the package does not say whether it does (AOT_MUTATION_UNKNOWN), the model gets a copy. Since version 2. */
AOT_API aot_status aot_model_run_const(aot_model* model, const aot_view* inputs, size_t num_inputs,
                                       aot_tensor** outputs, size_t num_outputs, aot_run_stats* stats);

/* ---- sessions ------------------------------------------------------------------------------------------------ */

/* A model with a state of its own: the buffers that it changes from call to call, such as a decoder's cache. Sessions
 * share the model's code and weights, and cost their state alone; those of one model run at the same time. Calls of one
 * session follow one another, whichever threads they come from. Without a session all callers of a model share the one
 * state that was loaded with it, and with several runners its calls may change it at the same time. Since version 5. */
typedef struct aot_session aot_session;

/* A session whose state is what it was when the model was exported. It may outlive aot_model_free(). AOT_MODEL_MISMATCH
 * when the package does not say which buffers it changes: one of plain PyTorch, or of an older aotpack. */
AOT_API aot_status aot_session_create(aot_model* model, aot_session** out);

/* Another session of the same model with the same state. */
AOT_API aot_status aot_session_copy(const aot_session* session, aot_session** out);

/* Makes the state what it was when the model was exported. */
AOT_API aot_status aot_session_reset(aot_session* session);

/* Bytes that aot_session_save() writes, the same for all sessions of a model; 0 for NULL. */
AOT_API size_t aot_session_saved_size(const aot_session* session);

/* Writes the state into `bytes` of host memory, which must be aot_session_saved_size(). Sessions of the same package
 * take it, in other processes and on other machines as well. */
AOT_API aot_status aot_session_save(const aot_session* session, void* destination, size_t bytes);

/* Makes the state one that was saved. AOT_USAGE when the bytes are no state of this model; it is then as it was. */
AOT_API aot_status aot_session_restore(aot_session* session, const void* source, size_t bytes);

/* Waits for a running call. NULL is allowed. Outputs stay valid. */
AOT_API void aot_session_free(aot_session* session);

/* As aot_model_run() and aot_model_run_const(), with the session's state. */
AOT_API aot_status aot_session_run(aot_session* session, const aot_view* inputs, size_t num_inputs,
                                   aot_tensor** outputs, size_t num_outputs, aot_run_stats* stats);
AOT_API aot_status aot_session_run_const(aot_session* session, const aot_view* inputs, size_t num_inputs,
                                         aot_tensor** outputs, size_t num_outputs, aot_run_stats* stats);

/* ---- the machine --------------------------------------------------------------------------------------------- */

typedef struct aot_device_report {
  uint32_t struct_size;
  uint32_t num_devices;
  uint64_t used_bytes; /* of the tested device; 0 for CPU */
  uint64_t total_bytes;
  char name[128];
  char architecture[64]; /* "sm_90", "gfx90a", or the CPU features that models may ask for, space separated */
  double self_test_ms;
} aot_device_report;

/* Finds the device, moves memory there and back, and compares. AOT_MACHINE_MISMATCH when it is not usable. */
AOT_API aot_status aot_device_check(const char* device, aot_device_report* report);

/* One JSON object: bridge version, compiler, backends compiled in, runtime found beside it, this machine's CPU
 * features. Loads nothing. Valid for the life of the process. */
AOT_API const char* aot_build_info(void);

#ifdef __cplusplus
}
#endif
#endif /* AOT_BRIDGE_H */
