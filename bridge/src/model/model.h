// SPDX-License-Identifier: Apache-2.0
// A model as the C API shows it: a container, its signature, its device, and the calls that run it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "aot_bridge.h"
#include "device/device.h"
#include "model/container.h"
#include "model/runner_slots.h"
#include "package/assets.h"

namespace aot {

/// What aot_tensor_info tells of one input or output. Its texts are the container's.
struct TensorInfo {
  const char* name;
  aot_dtype dtype{};  // bits == 0 when unknown
  int32_t ndim = -1;  // -1 when unknown
  std::vector<aot_dim> dims = {};
  int32_t mutation = AOT_MUTATION_UNKNOWN;
};

}  // namespace aot

struct aot_model {
  aot_model(const std::string& path, const aot_load_options& options);
  aot_model(const aot_model&) = delete;
  aot_model& operator=(const aot_model&) = delete;
  ~aot_model();

  const std::vector<aot::TensorInfo>& inputs() const { return inputs_; }
  const std::vector<aot::TensorInfo>& outputs() const { return outputs_; }
  const aot::Device& device() const { return *device_; }
  const aot::Assets& assets() const { return assets_; }
  const aot::Metadata& metadata() const { return container_->package().metadata; }

  const aot::StateLayout* state_layout() const { return container_->state_layout(); }
  const std::string& path() const { return container_->package().path; }

  /// For a session.
  std::shared_ptr<aot::Container> make_container_with_state() const;

  /// As PackedWeights::prepare().
  aot::PackedWeights::Outcome prepare(const std::string& folder) const;
  const std::string& prepared() const { return container_->prepared(); }

  /// Runs the model. With `const_inputs` nothing that the model writes reaches the caller's memory. `latency_ms` is the
  /// wall time of the model itself.
  std::vector<std::unique_ptr<aot_tensor>> run(const aot_view* inputs, size_t num_inputs, bool const_inputs,
                                               double* latency_ms);

  /// The same in a container of this model's, which has as many runners as there are slots.
  std::vector<std::unique_ptr<aot_tensor>> run_in(const std::shared_ptr<const aot::Container>& container,
                                                  aot::RunnerSlots& slots, const aot_view* inputs, size_t num_inputs,
                                                  bool const_inputs, double* latency_ms) const;

  /// Who holds on to the model: whoever loaded it, until aot_model_free(), and its sessions.
  std::shared_ptr<aot_model> self;

  /// Waits until nobody runs it.
  void wait_until_idle() { slots_->wait_until_idle(); }

 private:
  const aot::Device* device_ = nullptr;
  int num_threads_;
  std::shared_ptr<const aot::Container> container_;
  std::unique_ptr<aot::RunnerSlots> slots_;
  aot::Assets assets_;
  std::vector<aot::TensorInfo> inputs_;
  std::vector<aot::TensorInfo> outputs_;
};
