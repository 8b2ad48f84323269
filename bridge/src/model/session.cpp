// SPDX-License-Identifier: Apache-2.0
#include "model/session.h"

#include <cstring>
#include <new>
#include <utility>

#include "base/error.h"
#include "model/state.h"
#include "runtime/threads.h"

namespace {

/// What stands before the bytes of a state that was saved.
struct Header {
  char magic[8];
  uint64_t fingerprint;
  uint64_t bytes;
};
constexpr char kMagic[8] = {'A', 'O', 'T', 'S', 'T', 'A', 'T', '1'};

}  // namespace

aot_session::aot_session(std::shared_ptr<aot_model> model)
    : model_(std::move(model)),
      container_(model_->make_container_with_state()),
      slots_(std::make_unique<aot::RunnerSlots>(1)) {}

aot_session::~aot_session() {
  if (aot::is_orphaned()) {
    // As a model's (model.cpp).
    static_cast<void>(new (std::nothrow) std::shared_ptr<aot::Container>(std::move(container_)));
    slots_.release();  // NOLINT(bugprone-unused-return-value)
    return;
  }
  slots_->wait_until_idle();
}

std::vector<std::unique_ptr<aot_tensor>> aot_session::run(const aot_view* inputs, size_t num_inputs, bool const_inputs,
                                                          double* latency_ms) {
  return model_->run_in(container_, *slots_, inputs, num_inputs, const_inputs, latency_ms);
}

void aot_session::reset() {
  aot::refuse_orphans();
  const aot::AtWork at_work;  // before the slot, as where a model runs
  const aot::RunnerSlots::Hold slot(*slots_);
  model_->device().activate();
  container_->state()->reset();
}

std::unique_ptr<aot_session> aot_session::copy() const {
  aot::refuse_orphans();
  auto other = std::make_unique<aot_session>(model_);
  std::vector<uint8_t> bytes(model_->state_layout()->bytes());
  const aot::AtWork at_work;  // before the slot, as where a model runs
  const aot::RunnerSlots::Hold slot(*slots_);
  model_->device().activate();
  container_->state()->read(bytes.data());
  other->container_->state()->write(bytes.data());
  return other;
}

size_t aot_session::saved_bytes() const { return sizeof(Header) + model_->state_layout()->bytes(); }

void aot_session::save(uint8_t* destination, size_t bytes) const {
  aot::refuse_orphans();
  if (bytes != saved_bytes()) {
    throw aot::usage_error({"the destination has ", bytes, " bytes; the state takes ", saved_bytes()},
                           {"A state is saved whole."}, {"Pass a buffer of aot_session_saved_size() bytes."});
  }
  const aot::StateLayout& layout = *model_->state_layout();
  Header header{{}, layout.fingerprint(), layout.bytes()};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  std::memcpy(destination, &header, sizeof header);
  const aot::AtWork at_work;  // before the slot, as where a model runs
  const aot::RunnerSlots::Hold slot(*slots_);
  model_->device().activate();
  container_->state()->read(destination + sizeof header);
}

void aot_session::restore(const uint8_t* source, size_t bytes) {
  aot::refuse_orphans();
  const aot::StateLayout& layout = *model_->state_layout();
  Header header{};
  if (bytes >= sizeof header) std::memcpy(&header, source, sizeof header);
  if (bytes != saved_bytes() || std::memcmp(header.magic, kMagic, sizeof kMagic) != 0 ||
      header.bytes != layout.bytes() || header.fingerprint != layout.fingerprint()) {
    throw aot::usage_error({"these ", bytes, " bytes are no state of ", model_->path()},
                           {"A state fits the model whose session saved it, and is ", saved_bytes(), " bytes long."},
                           {"Pass what aot_session_save() wrote, whole."});
  }
  const aot::AtWork at_work;  // before the slot, as where a model runs
  const aot::RunnerSlots::Hold slot(*slots_);
  model_->device().activate();
  container_->state()->write(source + sizeof header);
}
