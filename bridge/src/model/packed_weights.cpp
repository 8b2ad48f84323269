// SPDX-License-Identifier: Apache-2.0
#include "model/packed_weights.h"

#include <string>
#include <utility>
#include <vector>

#include "base/cpu_features.h"
#include "base/error.h"
#include "base/single_file.h"
#include "base/text.h"
#include "model/debug.h"
#include "package/packed_layout.h"
#include "runtime/libtorch_cpu.h"
#include "runtime/onednn.h"
#include "runtime/runtime.h"

namespace aot {
namespace {

/// What this CPU packs a weight for; null where nobody can tell.
const Convolution* packing_of(const ConstantSpec& spec) {
  return spec.convolution && !spec.sha256.empty() && can_pack() ? &*spec.convolution : nullptr;
}

/// What tells a weight that is packed for a convolution from all others.
std::string identity_of(const ConstantSpec& spec, const Convolution& by, const std::string& layout) {
  const auto text = [](const std::vector<int64_t>& numbers) {
    return list(numbers.data(), static_cast<int32_t>(numbers.size()));
  };
  return concat({spec.sha256, " in ", fingerprint(without_gaps(layout)), " of ", text(spec.shape), ", padding ",
                 text(by.padding), ", stride ", text(by.stride), ", dilation ", text(by.dilation), ", groups ",
                 by.groups, ", input ", text(by.input), by.is_transposed ? ", transposed " : "",
                 text(by.output_padding)});
}

/// What this CPU has of that by which oneDNN tells those of one kind from each other.
std::string features_of_order() {
  std::vector<std::string> features;
  for (const char* feature : {"avx_vnni", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile"}) {
    if (missing_cpu_features({feature}).empty()) features.emplace_back(feature);
  }
  return join(features);
}

}  // namespace

const std::string* layout_of(const Metadata& metadata, const ConstantSpec& spec) {
  return spec.layout < 0 ? nullptr : &metadata.layouts[static_cast<size_t>(spec.layout)];
}

TensorHandle borrow_weight(const ConstantSpec& spec, int32_t dtype, const uint8_t* data, const std::string* layout) {
  const auto ndim = static_cast<int32_t>(spec.shape.size());
  const CStrides c_order(spec.shape.data(), ndim);
  const int64_t* strides = spec.strides.empty() ? c_order.values : spec.strides.data();
  auto* const place = const_cast<uint8_t*>(data);  // NOLINT(cppcoreguidelines-pro-type-const-cast): torch's interface
  return borrow_memory({place, spec.shape.data(), ndim, strides, spec.offset, dtype, {AOT_DEVICE_CPU, 0}}, layout);
}

PackedWeights::PackedWeights(const Package& package, std::string prepared_in)
    : package_(package), prepared_in_(std::move(prepared_in)) {}

const ConstantSpec& PackedWeights::spec_of(const PlacedWeight& one) const {
  return package_.metadata.constants[one.index];
}

const std::string& PackedWeights::layout_of(const PlacedWeight& one) const {
  return *aot::layout_of(package_.metadata, spec_of(one));
}

void PackedWeights::take_order_of_cpu(const std::vector<PlacedWeight>& packed, std::vector<TensorHandle>* handles) {
  const std::string& packed_on = package_.metadata.packed_on;
  if (Runtime::is_slim() || packed_on.empty()) return;  // the slim runtime's order is one for all
  preparation_.cpu = libtorch_cpu_kind();
  if (preparation_.cpu.empty()) return;
  is_foreign_ = preparation_.cpu != packed_on;
  preparation_.features = features_of_order();
  const auto max_threads = Runtime::get().openmp().max_threads;
  preparation_.threads = max_threads != nullptr ? max_threads() : 1;
  for (const PlacedWeight& one : packed) {
    const Convolution* by = packing_of(spec_of(one));
    if (by == nullptr) {
      is_order_unknown_ = is_order_unknown_ || spec_of(one).shape.size() != 2;
      continue;
    }
    packable_.push_back(one);
    preparation_.weights.push_back(identity_of(spec_of(one), *by, layout_of(one)));
  }
  if (!packable_.empty()) preparation_.torch = libtorch_version();
  const bool is_prepared = map_prepared(handles);
  size_t anew = 0;
  // With another number of threads than at export some weights may lie in another order as well. To find out takes as
  // long as to pack them, which is for who prepares.
  for (const PlacedWeight& one : packed) {
    const ConstantSpec& spec = spec_of(one);
    // Products of matrices are fast in any order but where there is no AVX2.
    if (!is_foreign_ || (spec.shape.size() == 2 && preparation_.cpu != "DEFAULT")) continue;
    if (packing_of(spec) == nullptr) {
      TensorHandle plain = unpacked(one, nullptr);
      const std::string order = plain_layout(layout_of(one));
      (*handles)[one.index] = borrow_weight(spec, one.dtype, static_cast<uint8_t*>(data_of(plain)), &order);
      unpacked_.push_back(std::move(plain));
    } else if (!is_prepared) {
      TensorHandle own = packed_anew(one);
      if (own.get() == nullptr) continue;
      (*handles)[one.index] = std::move(own);
      ++anew;
    }
  }
  if (is_debugging() && (is_prepared || anew > 0)) {
    debug_line(is_prepared ? concat({"weights of ", package_.path, ": those of ", prepared_, " are mapped"})
                           : concat({"weights of ", package_.path, ": ", anew, " are packed for ", preparation_.cpu,
                                     " in this process's memory"}));
  }
}

bool PackedWeights::map_prepared(std::vector<TensorHandle>* handles) {
  if (prepared_in_.empty() || packable_.empty()) return false;
  const std::string path = preparation_.path_in(prepared_in_);
  if (!exists(path)) return false;
  prepared_file_ = aot::map_prepared(path);
  const std::vector<PackedWeight> weights =
      read_prepared(prepared_file_.data(), prepared_file_.size(), preparation_, path);
  for (size_t n = 0; n < packable_.size(); ++n) {
    const PlacedWeight& one = packable_[n];
    const PackedWeight& weight = weights[n];
    if (weight.layout.empty()) continue;  // in the right order as it is
    const size_t size = Runtime::get().aoti_torch_dtype_element_size(one.dtype);
    size_t reach = 0;
    if (!packed_extent(weight.layout, spec_of(one).shape, size, &reach) || reach > weight.size) {
      throw described_larger(path, one.name);
    }
    (*handles)[one.index] = borrow_weight(spec_of(one), one.dtype, weight.data, &weight.layout);
  }
  prepared_ = path;
  return true;
}

TensorHandle PackedWeights::unpacked(const PlacedWeight& one, const Convolution* by) const {
  const ConstantSpec& spec = spec_of(one);
  const Runtime& runtime = Runtime::get();
  std::vector<int64_t> shape = spec.shape;
  const bool is_transposed = by != nullptr && by->is_transposed;
  if (is_transposed) {  // in oneDNN's eyes its output channels come first, and each group has its own
    shape[0] = spec.shape[1] * by->groups;
    shape[1] = spec.shape[0] / by->groups;
  }
  TensorHandle plain =
      allocate(runtime.dtype_of(one.dtype), shape.data(), static_cast<int32_t>(shape.size()), {AOT_DEVICE_CPU, 0});
  const size_t size = runtime.aoti_torch_dtype_element_size(one.dtype);
  unpack(layout_of(one), size, one.data, static_cast<uint8_t*>(data_of(plain)), is_transposed);
  return plain;
}

TensorHandle PackedWeights::packed_anew(const PlacedWeight& one) const {
  const ConstantSpec& spec = spec_of(one);
  const Convolution* by = packing_of(spec);
  if (by == nullptr) return {};
  TensorHandle own = pack(unpacked(one, by), *by);
  return without_gaps(packed_bytes(own).layout) == without_gaps(layout_of(one)) ? TensorHandle() : std::move(own);
}

PackedWeights::Outcome PackedWeights::prepare(const std::string& folder) const {
  if (Runtime::is_slim()) return {"", "the slim runtime reads one order of weights on every kind of CPU"};
  const std::string& packed_on = package_.metadata.packed_on;
  if (packed_on.empty()) return {"", "none of its weights are packed for a kind of CPU"};
  const std::string here = concat({preparation_.cpu, ", threads: ", preparation_.threads});
  if (packable_.empty() && !is_order_unknown_) {
    return {"", "it has no convolutions of floating-point numbers with packed weights, and only theirs are prepared"};
  }
  if (packable_.empty() && is_foreign_) {
    throw Error(AOT_MODEL_MISMATCH, {package_.path, " cannot be prepared for this CPU (", here, ")"},
                {can_pack() ? "It does not say how convolutions of its work: an older aotpack exported it."
                            : "That takes the libtorch of torch 2.10 or newer, and this bundle has an older one."},
                {"Export the model again with this aotpack and a newer torch; as it is, it runs as fast as it can."});
  }
  std::vector<TensorHandle> owners;
  std::vector<PackedWeight> weights;
  Outcome outcome;
  for (const PlacedWeight& one : packable_) {
    owners.push_back(packed_anew(one));
    weights.push_back(owners.back().get() == nullptr ? PackedWeight{} : packed_bytes(owners.back()));
    if (owners.back().get() == nullptr) continue;
    weights.back().layout = without_gaps(weights.back().layout);
    ++outcome.weights;
    outcome.bytes += weights.back().size;
  }
  if (outcome.weights == 0) {
    return {"", concat({"its weights, packed on ", packed_on, ", suit this CPU (", here, ") as they are"})};
  }
  outcome.file = preparation_.path_in(folder);
  write_prepared(outcome.file, preparation_, weights);
  return outcome;
}

}  // namespace aot
