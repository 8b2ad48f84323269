// SPDX-License-Identifier: Apache-2.0
// A loaded model.so: AOTInductor's model container.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/library.h"
#include "base/torch_abi.h"
#include "device/device.h"
#include "model/packed_weights.h"
#include "model/state.h"
#include "package/package.h"
#include "runtime/proxy_executor.h"
#include "runtime/tensor.h"

namespace aot {

class Container {
 public:
  /// Loads the library, gives it its weights and folds its constants. The runtime must be loaded. `prepared` is a
  /// folder in which weights may lie as this CPU reads them; empty for none. Throws AOT_MODEL_MISMATCH,
  /// AOT_MACHINE_MISMATCH, AOT_DAMAGED, AOT_FAILED.
  Container(Package package, const Device& device, size_t num_runners, std::string prepared);

  /// A container of the same code and weights with one runner and a state of its own, which is at first what it is in
  /// the package. Throws AOT_MODEL_MISMATCH when the package does not say what its state is.
  Container(std::shared_ptr<const Container> original, const Device& device);
  Container(const Container&) = delete;
  Container& operator=(const Container&) = delete;
  ~Container();

  const Package& package() const { return original_ != nullptr ? original_->package_ : package_; }

  /// What the model's state is; null when the package does not say. The same for all containers of one package.
  const StateLayout* state_layout() const {
    return original_ != nullptr ? original_->state_layout_.get() : state_layout_.get();
  }

  /// The state that is this container's alone; null when it is the one in the weights.
  State* state() { return state_.get(); }
  const std::vector<std::string>& input_names() const { return input_names_; }
  const std::vector<std::string>& output_names() const { return output_names_; }

  /// The file of prepared weights that this container has mapped; empty when there is none.
  const std::string& prepared() const { return packed_weights().prepared(); }

  /// As PackedWeights::prepare().
  PackedWeights::Outcome prepare(const std::string& folder) const { return packed_weights().prepare(folder); }

  /// Whether the memory there is that of a constant, or may be: AOTInductor tells of its copies since torch 2.13, and
  /// never of what it folded.
  bool may_be_constant(const void* address) const;

  /// The same tensor with its elements as they are to be read: an op of libtorch's own may have left a conjugation or a
  /// negation to whoever reads them.
  TensorHandle resolve(TensorHandle output) const { return proxy().resolve(std::move(output)); }

  /// Runs on one of the runners; callers must not be more than there are. The handles of `inputs` are consumed when the
  /// call succeeds; on failure those that were are null. Throws AOT_FAILED with the model's message.
  void run(AtenTensorHandle* inputs, size_t num_inputs, AtenTensorHandle* outputs, size_t num_outputs) const;

 private:
  const ProxyExecutor& proxy() const { return original_ != nullptr ? original_->proxy_ : proxy_; }
  const PackedWeights& packed_weights() const {
    return original_ != nullptr ? original_->packed_weights_ : packed_weights_;
  }
  AOTIProxyExecutorHandle proxy_handle() const { return reinterpret_cast<AOTIProxyExecutorHandle>(proxy().handle()); }
  void check(AOTIRuntimeError code, const char* doing) const;
  Error failed(const char* doing, const std::string& reason) const;

  // weights.cpp
  struct Constant {
    const char* name;
    const char* given_name;  // in the module
    int32_t dtype;           // torch's number
    size_t bytes;            // in the weights' file
  };
  struct Range {
    const uint8_t* begin;
    const uint8_t* end;
  };
  /// As AOTInductor takes and gives constants.
  struct Pair {
    const char* name;
    AtenTensorHandle handle;
  };
  void load_constants(const Device& device);
  std::vector<Constant> list_constants(bool* has_folded) const;
  /// Where each constant lies in the files of weights.
  std::vector<uint8_t*> find_weights(const std::vector<Constant>& constants) const;
  bool map_weights(const std::vector<Constant>& constants, const std::vector<uint8_t*>& places);
  void copy_weights(const std::vector<Constant>& constants, const std::vector<uint8_t*>& places);
  /// Fills `constant_memory_` with the container's own copies; false when the model is older than the function that
  /// tells of them.
  bool find_copies();
  /// Brings `constant_memory_` into the order of addresses.
  void sort_ranges();
  /// The container's constants; false when the model is older than the function that tells of them.
  bool list_pairs(const Pair** pairs, size_t* count) const;
  /// Makes these the container's constants, where they are.
  void use(const Pair* pairs, size_t count);
  /// Finds out what the state is, if the package names it.
  void describe_state(const std::vector<Constant>& constants, const Device& device);
  /// Takes the constants of the original and a state of its own.
  void share_constants(const Device& device);
  void fold_constants();

  std::vector<std::string> names(decltype(&AOTInductorModelContainerGetNumInputs) count,
                                 decltype(&AOTInductorModelContainerGetInputName) name) const;

  /// Keeps the path of a library that the loader keeps, also of one that came to be no model: goes between the library
  /// and the package.
  struct Kept {
    explicit Kept(Package& its_package) : package(its_package) {}
    Kept(const Kept&) = delete;
    Kept& operator=(const Kept&) = delete;
    ~Kept();
    Package& package;
  };

  std::shared_ptr<const Container> original_;  // whose code and weights this one uses; null: its own
  Package package_;
  Kept kept_{package_};
  Library library_;
  AOTInductorModelContainerHandle handle_ = nullptr;
  ProxyExecutor proxy_;
  PackedWeights packed_weights_{package_, {}};
  std::vector<TensorHandle> constants_;  // over the mapped weights; empty when the container copied them
  std::unique_ptr<StateLayout> state_layout_;
  std::unique_ptr<State> state_;
  std::vector<std::pair<std::string, AtenTensorHandle>> shared_constants_;  // for sessions: all but the state
  bool has_folded_constants_ = false;
  std::vector<Range> constant_memory_;  // of the constants, sorted
  bool has_hidden_constants_ = false;   // in memory that is not among these
  mutable std::mutex first_run_;
  mutable std::atomic<bool> has_run_{false};
  decltype(&AOTInductorModelContainerCreateWithDevice) create_ = nullptr;
  decltype(&AOTInductorModelContainerDelete) delete_ = nullptr;
  decltype(&AOTInductorModelContainerRun) run_ = nullptr;
  // Present since torch 2.13; declared here so that older headers serve too.
  AOTIRuntimeError (*get_last_error_)(const char**) = nullptr;
  std::vector<std::string> input_names_;
  std::vector<std::string> output_names_;
};

}  // namespace aot
