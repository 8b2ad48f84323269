// SPDX-License-Identifier: Apache-2.0
// A model with a state of its own: what runs, and the state between runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "aot_bridge.h"
#include "model/container.h"
#include "model/model.h"
#include "model/runner_slots.h"

/// Its calls follow one another; those of several sessions run at the same time.
struct aot_session {
  /// One whose state is what it is in the package. Throws AOT_MODEL_MISMATCH when that does not say what its state is.
  explicit aot_session(std::shared_ptr<aot_model> model);
  aot_session(const aot_session&) = delete;
  aot_session& operator=(const aot_session&) = delete;
  ~aot_session();

  const aot_model& model() const { return *model_; }

  /// As aot_model::run, with this state.
  std::vector<std::unique_ptr<aot_tensor>> run(const aot_view* inputs, size_t num_inputs, bool const_inputs,
                                               double* latency_ms);

  /// Makes the state what it was at first.
  void reset();

  /// Another session of the same model with the same state.
  std::unique_ptr<aot_session> copy() const;

  /// Of what save() writes.
  size_t saved_bytes() const;
  void save(uint8_t* destination, size_t bytes) const;

  /// Throws AOT_USAGE when the bytes are no state of this model; the state is then as it was.
  void restore(const uint8_t* source, size_t bytes);

 private:
  std::shared_ptr<aot_model> model_;
  std::shared_ptr<aot::Container> container_;
  std::unique_ptr<aot::RunnerSlots> slots_;
};
