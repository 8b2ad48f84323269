// SPDX-License-Identifier: Apache-2.0
// The C functions: arguments checked, exceptions stopped, everything else done elsewhere.
#include <sys/resource.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "aot_bridge.h"
#include "api/build_info.h"
#include "base/error.h"
#include "device/device.h"
#include "model/model.h"
#include "model/session.h"
#include "model/variants.h"
#include "package/json.h"
#include "package/scratch.h"
#include "runtime/tensor.h"
#include "runtime/threads.h"

namespace {

using aot::guarded;
using aot::usage_error;

[[noreturn]] void refuse_null(const char* what) {
  throw usage_error({what, " is NULL"}, {"The call cannot do anything without it."}, {"Pass a valid pointer."});
}

template <class T>
void require(const T* pointer, const char* what) {
  if (pointer == nullptr) refuse_null(what);
}

/// Copies the part of `value` that the caller's version of the struct has, keeping the caller's struct_size.
template <class Struct>
void give(Struct value, Struct* out) {
  value.struct_size = out->struct_size;
  if (value.struct_size < sizeof value.struct_size) {
    throw usage_error({"struct_size is ", value.struct_size},
                      {"It tells which version of the struct the caller knows."},
                      {"Set it to sizeof the struct before the call."});
  }
  std::memcpy(out, &value, std::min<size_t>(value.struct_size, sizeof value));
}

/// The caller's options, with zeros for fields that its version does not have.
aot_load_options take(const aot_load_options* options) {
  aot_load_options known{};
  if (options == nullptr) return known;
  std::memcpy(&known, options, std::min<size_t>(options->struct_size, sizeof known));
  if (options->struct_size < sizeof known.struct_size || known.reserved != 0) {
    throw usage_error({"the load options have struct_size ", options->struct_size, " and reserved ", known.reserved},
                      {"They were not initialised."},
                      {"Zero the struct and set struct_size to sizeof(aot_load_options)."});
  }
  constexpr uint32_t kMost = 1024;
  if (known.num_runners > kMost || known.num_threads > kMost) {
    throw usage_error({known.num_runners, " runners and ", known.num_threads, " threads were asked for"},
                      {"More than ", kMost, " of either is surely a mistake."}, {"Ask for fewer."});
  }
  return known;
}

uint64_t peak_rss() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

void give_info(const std::vector<aot::TensorInfo>& tensors, size_t index, aot_tensor_info* out) {
  require(out, "info");
  if (index >= tensors.size()) {
    throw usage_error({"there is no tensor ", index, "; there are ", tensors.size()}, {"Indices start at 0."},
                      {"Ask aot_model_num_inputs() or aot_model_num_outputs() first."});
  }
  const aot::TensorInfo& tensor = tensors[index];
  aot_tensor_info info{};
  info.ndim = tensor.ndim;
  info.name = tensor.name;
  info.dtype = tensor.dtype;
  info.dims = tensor.dims.data();
  info.mutation = tensor.mutation;
  give(info, out);
}

// NOLINTNEXTLINE(bugprone-return-const-ref-from-parameter): the caller's, which lives on
const aot_model& model_of(const aot_model& model) { return model; }
const aot_model& model_of(const aot_session& session) { return session.model(); }

/// `runs` is a model or a session; `what` names it.
template <class Runs>
aot_status run(Runs* runs, const char* what, const aot_view* inputs, size_t num_inputs, bool const_inputs,
               aot_tensor** outputs, size_t num_outputs, aot_run_stats* stats) {
  return guarded([&] {
    require(runs, what);
    if (num_inputs > 0) require(inputs, "inputs");
    if (num_outputs > 0) require(outputs, "outputs");
    const aot_model& model = model_of(*runs);
    if (num_outputs != model.outputs().size()) {
      throw usage_error({"there is room for ", num_outputs, " outputs; the model has ", model.outputs().size()},
                        {"Every output needs its place."}, {"Pass an array of aot_model_num_outputs() pointers."});
    }
    std::fill_n(outputs, num_outputs, nullptr);
    aot_run_stats values{};
    std::vector<std::unique_ptr<aot_tensor>> results = runs->run(inputs, num_inputs, const_inputs, &values.latency_ms);
    if (stats != nullptr) {
      const aot::DeviceMemory memory = model.device().memory();
      values.device_used_bytes = memory.used_bytes;
      values.device_total_bytes = memory.total_bytes;
      values.peak_rss_bytes = peak_rss();
      give(values, stats);
    }
    for (size_t i = 0; i < num_outputs; ++i) outputs[i] = results[i].release();
  });
}

/// Loads a model, which is its own until aot_model_free().
aot_model* load(const std::string& path, const aot_load_options& options) {
  auto model = std::make_shared<aot_model>(path, options);
  model->self = model;
  return model.get();
}

/// A tensor and the struct that a DLPack consumer holds.
struct Exported {
  std::unique_ptr<aot_tensor> tensor;
  aot_managed managed;
};

}  // namespace

extern "C" {

const char* aot_last_error(void) { return aot::last_error(); }

uint32_t aot_api_version(void) { return AOT_API_VERSION; }

const aot_view* aot_tensor_view(const aot_tensor* tensor) { return tensor == nullptr ? nullptr : &tensor->view; }

aot_status aot_tensor_copy(const aot_tensor* tensor, void* destination, size_t bytes) {
  return guarded([&] {
    require(tensor, "tensor");
    const aot_view& view = tensor->view;
    const size_t element = view.dtype.bits / 8U;
    const size_t needed = static_cast<size_t>(aot::count_elements(view.shape, view.ndim)) * element;
    if (bytes != needed) {
      throw usage_error({"the destination has ", bytes, " bytes; the tensor has ", needed},
                        {"The size is the product of the shape times the size of an element."},
                        {"Pass a buffer of exactly that size."});
    }
    if (bytes > 0) require(destination, "destination");
    aot::copy_to_host(view, destination, bytes);
  });
}

aot_status aot_tensor_to_dlpack(aot_tensor* tensor, aot_managed** out) {
  std::unique_ptr<aot_tensor> owned(tensor);
  return guarded([&] {
    require(owned.get(), "tensor");
    require(out, "out");
    auto exported = std::make_unique<Exported>();
    exported->managed.tensor = owned->view;
    exported->managed.deleter = [](aot_managed* self) { delete static_cast<Exported*>(self->manager_ctx); };
    exported->managed.manager_ctx = exported.get();
    exported->tensor = std::move(owned);
    *out = &exported.release()->managed;
  });
}

void aot_tensor_free(aot_tensor* tensor) { delete tensor; }

aot_status aot_model_load(const char* path, const aot_load_options* options, aot_model** out) {
  return guarded([&] {
    require(out, "out");
    *out = nullptr;
    require(path, "path");
    *out = load(path, take(options));
  });
}

aot_status aot_model_load_memory(const void* data, size_t size, const aot_load_options* options, aot_model** out) {
  return guarded([&] {
    require(out, "out");
    *out = nullptr;
    require(data, "data");
    const auto* bytes = static_cast<const uint8_t*>(data);
    // Either goes when this returns; what the model has mapped of it stays.
    const aot::File file = aot::file_in_memory("model.pt2", bytes, size);
    aot::ScratchFolder scratch;
    const std::string path = file.is_open() ? aot::path_of(file) : scratch.write("model.pt2", bytes, size);
    *out = load(path, take(options));
  });
}

void aot_model_free(aot_model* model) {
  if (model == nullptr) return;
  const std::shared_ptr<aot_model> owned = std::move(model->self);
  // The last reference waits as well, but sessions may hold on to the model.
  if (!aot::is_orphaned()) model->wait_until_idle();
}

size_t aot_model_num_inputs(const aot_model* model) { return model == nullptr ? 0 : model->inputs().size(); }

size_t aot_model_num_outputs(const aot_model* model) { return model == nullptr ? 0 : model->outputs().size(); }

aot_status aot_model_input_info(const aot_model* model, size_t index, aot_tensor_info* info) {
  return guarded([&] {
    require(model, "model");
    give_info(model->inputs(), index, info);
  });
}

aot_status aot_model_output_info(const aot_model* model, size_t index, aot_tensor_info* info) {
  return guarded([&] {
    require(model, "model");
    give_info(model->outputs(), index, info);
  });
}

aot_status aot_model_asset(const aot_model* model, const char* name, const void** data, size_t* size) {
  return guarded([&] {
    require(model, "model");
    require(name, "name");
    require(data, "data");
    require(size, "size");
    const aot::MappedFile& file = model->assets().find(name);
    *size = file.size();
    *data = file.size() == 0 ? "" : static_cast<const void*>(file.data());
  });
}

aot_device aot_model_device(const aot_model* model) {
  return model == nullptr ? aot_device{AOT_DEVICE_CPU, 0} : model->device().id();
}

const char* aot_model_metadata(const aot_model* model) {
  return model == nullptr ? "{}" : model->metadata().text.c_str();
}

const char* aot_model_variant(const aot_model* model) {
  return model == nullptr ? "" : model->metadata().variant.c_str();
}

aot_status aot_model_variants(const char* path, const aot_load_options* options, const char** out) {
  return guarded([&] {
    require(out, "out");
    *out = nullptr;
    require(path, "path");
    static thread_local std::string text;
    text = aot::explain_variants(take(options), aot::read_metadata(path), path);
    *out = text.c_str();
  });
}

aot_status aot_model_prepare(const aot_model* model, const char* folder, const char** out) {
  return guarded([&] {
    require(out, "out");
    *out = nullptr;
    require(model, "model");
    require(folder, "folder");
    if (*folder == '\0') {
      throw aot::usage_error({"folder is empty"}, {"Nothing is written where nobody said."},
                             {"Name a folder; \".\" is the current one."});
    }
    const aot::PackedWeights::Outcome outcome = model->prepare(folder);
    const auto text_or_null = [](const std::string& text) { return text.empty() ? "null" : aot::json_quote(text); };
    static thread_local std::string text;
    text = aot::concat({"{\"schema\": 1, \"file\": ", text_or_null(outcome.file), ", \"weights\": ", outcome.weights,
                        ", \"bytes\": ", outcome.bytes, ", \"reason\": ", text_or_null(outcome.reason), "}"});
    *out = text.c_str();
  });
}

const char* aot_model_prepared(const aot_model* model) { return model == nullptr ? "" : model->prepared().c_str(); }

aot_status aot_model_run(aot_model* model, const aot_view* inputs, size_t num_inputs, aot_tensor** outputs,
                         size_t num_outputs, aot_run_stats* stats) {
  return run(model, "model", inputs, num_inputs, /*const_inputs=*/false, outputs, num_outputs, stats);
}

aot_status aot_model_run_const(aot_model* model, const aot_view* inputs, size_t num_inputs, aot_tensor** outputs,
                               size_t num_outputs, aot_run_stats* stats) {
  return run(model, "model", inputs, num_inputs, /*const_inputs=*/true, outputs, num_outputs, stats);
}

aot_status aot_session_create(aot_model* model, aot_session** out) {
  return guarded([&] {
    require(out, "out");
    *out = nullptr;
    require(model, "model");
    *out = new aot_session(model->self);
  });
}

aot_status aot_session_copy(const aot_session* session, aot_session** out) {
  return guarded([&] {
    require(out, "out");
    *out = nullptr;
    require(session, "session");
    *out = session->copy().release();
  });
}

aot_status aot_session_reset(aot_session* session) {
  return guarded([&] {
    require(session, "session");
    session->reset();
  });
}

size_t aot_session_saved_size(const aot_session* session) { return session == nullptr ? 0 : session->saved_bytes(); }

aot_status aot_session_save(const aot_session* session, void* destination, size_t bytes) {
  return guarded([&] {
    require(session, "session");
    require(destination, "destination");
    session->save(static_cast<uint8_t*>(destination), bytes);
  });
}

aot_status aot_session_restore(aot_session* session, const void* source, size_t bytes) {
  return guarded([&] {
    require(session, "session");
    require(source, "source");
    session->restore(static_cast<const uint8_t*>(source), bytes);
  });
}

void aot_session_free(aot_session* session) { delete session; }

aot_status aot_session_run(aot_session* session, const aot_view* inputs, size_t num_inputs, aot_tensor** outputs,
                           size_t num_outputs, aot_run_stats* stats) {
  return run(session, "session", inputs, num_inputs, /*const_inputs=*/false, outputs, num_outputs, stats);
}

aot_status aot_session_run_const(aot_session* session, const aot_view* inputs, size_t num_inputs, aot_tensor** outputs,
                                 size_t num_outputs, aot_run_stats* stats) {
  return run(session, "session", inputs, num_inputs, /*const_inputs=*/true, outputs, num_outputs, stats);
}

aot_status aot_device_check(const char* device, aot_device_report* report) {
  return guarded([&] {
    require(device, "device");
    require(report, "report");
    aot_device_report values{};
    aot::find_device(aot::parse_device(device)).self_test(&values);
    give(values, report);
  });
}

const char* aot_build_info(void) { return aot::build_info(); }

}  // extern "C"
