// SPDX-License-Identifier: Apache-2.0
#include "model/model.h"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <utility>

#include "base/amx.h"
#include "base/cpu_features.h"
#include "base/error.h"
#include "base/libc_version.h"
#include "base/stopwatch.h"
#include "base/text.h"
#include "model/debug.h"
#include "model/halves.h"
#include "model/input.h"
#include "model/int4_order.h"
#include "model/signature.h"
#include "model/variants.h"
#include "runtime/below_autograd.h"
#include "runtime/runtime.h"
#include "runtime/tensor.h"
#include "runtime/threads.h"

namespace {

using aot::Error;

/// What can be told before any of the model's code is loaded.
void check_machine(const aot::Package& package) {
  const std::string& floor = package.metadata.glibc_floor;
  const std::string libc = aot::libc_version();
  if (!libc.empty() && aot::is_older(libc, floor)) {
    throw Error(
        AOT_MACHINE_MISMATCH, {package.path, " needs glibc ", floor, "; this process has ", libc},
        {"The model was compiled on a newer system than this one."},
        {"Run it by the bundle's own bin/aotrun, which brings its libc along, or export it on an older system."});
  }
  const std::vector<std::string> missing = aot::missing_cpu_features(package.metadata.cpu_features);
  if (missing.empty()) {
    if (aot::uses_tiles(package.metadata.cpu_features)) aot::check_tiles(package.path, aot::ask_for_tiles());
    return;
  }
  throw Error(AOT_MACHINE_MISMATCH, {package.path, " needs CPU features that this machine lacks: ", aot::join(missing)},
              {"The model was exported for a newer CPU (this one is: ", aot::cpu_brand(), ")."},
              {"Run it on a newer CPU, or export it again with --cpu-isa portable."});
}

/// Where weights may lie as this CPU reads them; empty: nowhere.
std::string prepared_folder(const aot_load_options& options) {
  if (options.prepared != nullptr) return options.prepared;
  const char* set = std::getenv("AOT_PREPARED");  // NOLINT(concurrency-mt-unsafe)
  return set != nullptr ? set : "";
}

const aot::Device& choose_device(const aot::Package& package, const char* wanted) {
  const aot::DeviceName own = aot::parse_device(package.metadata.device);
  if (wanted == nullptr) return aot::find_device(own);
  const aot::DeviceName asked = aot::parse_device(wanted);
  if ((asked.type == AOT_DEVICE_CPU) != (own.type == AOT_DEVICE_CPU)) {
    throw Error(AOT_MODEL_MISMATCH,
                {package.path, " was exported for ", package.metadata.device, "; the device asked for is ", wanted},
                {"A compiled model runs on the kind of device it was exported for."},
                {"Leave the device out, or export the model with --device ", wanted, "."});
  }
  return aot::find_device(asked);
}

std::vector<aot::TensorInfo> describe(const std::vector<aot::TensorSpec>& specs) {
  std::vector<aot::TensorInfo> infos;
  for (const aot::TensorSpec& spec : specs) {
    aot::TensorInfo info{spec.name.c_str(), aot::dlpack_of(spec.dtype), static_cast<int32_t>(spec.dims.size())};
    for (const aot::Dim& dim : spec.dims) {
      info.dims.push_back({dim.min, dim.max, dim.symbol.empty() ? nullptr : dim.symbol.c_str()});
    }
    info.mutation = spec.mutation;
    infos.push_back(std::move(info));
  }
  return infos;
}

/// For a package without a signature: the names that the container has.
std::vector<aot::TensorInfo> describe(const std::vector<std::string>& names) {
  std::vector<aot::TensorInfo> infos;
  infos.reserve(names.size());
  for (const std::string& name : names) infos.push_back({name.c_str()});
  return infos;
}

aot::Writes writes_of(const aot::TensorInfo& input, bool is_const) {
  if (input.mutation == AOT_NOT_MUTATED) return aot::Writes::kNone;
  return is_const ? aot::Writes::kHidden : aot::Writes::kSeen;
}

void check_count(size_t described, size_t actual, const char* what, const std::string& path) {
  if (described == actual) return;
  throw aot::damaged_error({path, " describes ", described, " ", what, " and its code has ", actual},
                           {"The description belongs to another model."});
}

using Outputs = std::vector<std::unique_ptr<aot_tensor>>;

/// Where the model wrote this handle first: generated code writes one into several places where its Python code returns
/// one tensor several times.
size_t first_place(const AtenTensorHandle* handles, size_t index) {
  return static_cast<size_t>(std::find(handles, handles + index, handles[index]) - handles);
}

/// Gives each handle that the model wrote to one output, so that it is given back once.
void own(const AtenTensorHandle* handles, Outputs* outputs) {
  for (size_t i = 0; i < outputs->size(); ++i) {
    if (first_place(handles, i) == i) (*outputs)[i]->handle = aot::TensorHandle(handles[i]);
  }
}

/// Gives the other outputs of a handle references of their own. They share memory, as in Python.
void share_repeated(const AtenTensorHandle* handles, Outputs* outputs) {
  for (size_t i = 0; i < outputs->size(); ++i) {
    const size_t first = first_place(handles, i);
    if (first != i && handles[i] != nullptr) (*outputs)[i]->handle = aot::share((*outputs)[first]->handle);
  }
}

/// Makes an output null where the model has left nothing: its Python code returns None there. aotpack lists no such
/// outputs, so with its signature it is a copy that failed, which generated code does not look at.
void drop_absent(const std::vector<aot::TensorInfo>& infos, bool has_signature, Outputs* outputs) {
  for (size_t i = 0; i < outputs->size(); ++i) {
    if ((*outputs)[i]->handle.get() != nullptr) continue;
    if (has_signature) {
      throw Error(AOT_FAILED, {"the model left no value for its output ", infos[i].name},
                  {"Memory for it could not be had."}, {"Use smaller sizes, or a machine with more memory."});
    }
    (*outputs)[i].reset();
  }
}

}  // namespace

aot_model::aot_model(const std::string& path, const aot_load_options& options)
    : num_threads_(static_cast<int>(options.num_threads)),
      slots_(std::make_unique<aot::RunnerSlots>(std::max<uint32_t>(options.num_runners, 1))),
      assets_(path) {
  aot::refuse_orphans();
  const aot::Stopwatch watch;
  const auto choose = [&](aot::Metadata* metadata, const std::string& where) {
    aot::choose_variant(options, metadata, where);
  };
  aot::Package package = aot::open_package(path, aot::Runtime::is_slim(), choose);
  check_machine(package);
  device_ = &choose_device(package, options.device);
  aot::check_gpu(path, package.metadata.gpu_archs, *device_);
  aot::Runtime::load(*device_);
  aot::check_int4_order(package);
  aot::check_halves(package);
  const aot::AtWork at_work;
  const aot::CallThreads threads(num_threads_);
  const aot::BelowAutograd below_autograd;  // constants may be computed now
  device_->activate();
  container_ = std::make_shared<const aot::Container>(
      std::move(package), *device_, std::max<uint32_t>(options.num_runners, 1), prepared_folder(options));
  const aot::Metadata& known = metadata();
  if (known.has_signature) {
    check_count(known.inputs.size(), container_->input_names().size(), "inputs", path);
    check_count(known.outputs.size(), container_->output_names().size(), "outputs", path);
    inputs_ = describe(known.inputs);
    outputs_ = describe(known.outputs);
  } else {
    inputs_ = known.inputs.empty() ? describe(container_->input_names()) : describe(known.inputs);
    check_count(inputs_.size(), container_->input_names().size(), "inputs", path);
    outputs_ = describe(container_->output_names());
  }
  if (aot::is_debugging()) {
    aot::debug_line(aot::concat({"load of ", path, ": ", std::to_string(watch.milliseconds()), " ms"}));
  }
}

aot_model::~aot_model() {
  if (aot::is_orphaned()) {
    // Nobody will end what was at work, nor may it be taken away: it stays. So do the slots, whose condition would wait
    // for those that wait for it.
    static_cast<void>(new (std::nothrow) std::shared_ptr<const aot::Container>(std::move(container_)));
    slots_.release();  // NOLINT(bugprone-unused-return-value)
    return;
  }
  slots_->wait_until_idle();
}

std::shared_ptr<aot::Container> aot_model::make_container_with_state() const {
  aot::refuse_orphans();
  const aot::AtWork at_work;
  const aot::CallThreads threads(num_threads_);
  const aot::BelowAutograd below_autograd;  // constants may be computed now
  device_->activate();
  return std::make_shared<aot::Container>(container_, *device_);
}

aot::PackedWeights::Outcome aot_model::prepare(const std::string& folder) const {
  aot::refuse_orphans();
  const aot::AtWork at_work;
  const aot::CallThreads threads(num_threads_);  // oneDNN's order follows them, and each thread has its own number
  const aot::BelowAutograd below_autograd;
  return container_->prepare(folder);
}

std::vector<std::unique_ptr<aot_tensor>> aot_model::run(const aot_view* inputs, size_t num_inputs, bool const_inputs,
                                                        double* latency_ms) {
  return run_in(container_, *slots_, inputs, num_inputs, const_inputs, latency_ms);
}

std::vector<std::unique_ptr<aot_tensor>> aot_model::run_in(const std::shared_ptr<const aot::Container>& container,
                                                           aot::RunnerSlots& slots, const aot_view* inputs,
                                                           size_t num_inputs, bool const_inputs,
                                                           double* latency_ms) const {
  aot::refuse_orphans();
  if (num_inputs != inputs_.size()) {
    throw aot::usage_error({num_inputs, " inputs were given; the model takes ", inputs_.size()},
                           {"Every input of the model needs a value."}, {"Pass one array for each; see: aotrun info"});
  }
  for (size_t i = 0; i < num_inputs; ++i) aot::check_view(inputs[i], inputs_[i].name);
  const bool has_signature = metadata().has_signature;
  const bool knows_inputs = has_signature || !metadata().inputs.empty();
  if (knows_inputs) {
    aot::check_signature(metadata().inputs, inputs, num_inputs);
    aot::check_guards(metadata().guards, metadata().inputs, inputs);
  }

  const aot::AtWork at_work;  // before the slot: a child has nobody to give back one that is held or waited for
  const aot::RunnerSlots::Hold slot(slots);
  device_->activate();
  const aot::CallThreads threads(num_threads_);
  const aot::BelowAutograd below_autograd;

  std::vector<aot::Input> prepared;
  prepared.reserve(num_inputs);
  for (size_t i = 0; i < num_inputs; ++i) {
    prepared.emplace_back(inputs[i], inputs_[i].name, *device_, /*c_order=*/knows_inputs,
                          writes_of(inputs_[i], const_inputs));
  }
  if (aot::is_debugging()) {
    for (size_t i = 0; i < num_inputs; ++i) aot::debug_tensor(aot::concat({"input ", inputs_[i].name}), inputs[i]);
  }

  // Memory for all that holds handles, before there are any: those without an owner would be lost with an exception.
  const size_t num_outputs = outputs_.size();
  Outputs outputs;
  outputs.reserve(num_outputs);
  for (size_t i = 0; i < num_outputs; ++i) outputs.push_back(std::make_unique<aot_tensor>(container));
  std::vector<AtenTensorHandle> handles(num_inputs + num_outputs);  // of the inputs, then of the outputs
  AtenTensorHandle* output_handles = handles.data() + num_inputs;
  device_->synchronize();
  for (size_t i = 0; i < num_inputs; ++i) handles[i] = prepared[i].take_handle();

  const aot::Stopwatch watch;
  try {
    container->run(handles.data(), num_inputs, output_handles, num_outputs);
    device_->synchronize();
  } catch (...) {
    // The model takes what it has been given only after its own checks.
    for (size_t i = 0; i < num_inputs; ++i) aot::TensorHandle{handles[i]};
    own(output_handles, &outputs);
    throw;
  }
  *latency_ms = watch.milliseconds();
  own(output_handles, &outputs);
  share_repeated(output_handles, &outputs);
  drop_absent(outputs_, has_signature, &outputs);

  for (const std::unique_ptr<aot_tensor>& output : outputs) {
    if (output == nullptr) continue;
    output->handle = container->resolve(std::move(output->handle));
    output->describe(device_->id());
  }
  // The slim runtime keeps a failure that nobody has heard of for whoever asks for memory next: where there is no
  // output to ask for, it would come out in another call.
  const auto is_absent = [](const std::unique_ptr<aot_tensor>& output) { return output == nullptr; };
  if (std::all_of(outputs.begin(), outputs.end(), is_absent)) {
    aot::data_of(aot::allocate(aot::Dtype::UInt8, nullptr, 0, device_->id()));
  }
  for (const aot::Input& input : prepared) input.write_back();
  for (const std::unique_ptr<aot_tensor>& output : outputs) {
    if (output == nullptr) continue;
    const void* data = output->view.data;
    const bool is_lent =
        std::any_of(prepared.begin(), prepared.end(), [&](const aot::Input& input) { return input.lends(data); });
    // The caller may free an input as soon as the call returns, and owns its outputs, while the next call may read or
    // write the model's weights: an output that is a view of either becomes a copy.
    if (is_lent || container->may_be_constant(data)) {
      output->handle = aot::clone(output->handle);
      output->describe(device_->id());
    }
  }
  if (aot::is_debugging()) {
    for (size_t i = 0; i < num_outputs; ++i) {
      if (outputs[i] != nullptr) aot::debug_tensor(aot::concat({"output ", outputs_[i].name}), outputs[i]->view);
    }
    aot::debug_line(aot::concat({"run of ", container->package().path, ": ", std::to_string(*latency_ms), " ms"}));
  }
  return outputs;
}
