// SPDX-License-Identifier: Apache-2.0
// How a container gets its weights: used where the file is mapped if the metadata says how they lie, copied otherwise.
#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "model/container.h"
#include "package/packed_layout.h"
#include "runtime/runtime.h"

namespace aot {
namespace {

/// Bytes from the start of a constant's storage to the end of its last element; more than any file has when that
/// overflows.
size_t extent(const ConstantSpec& spec, const int64_t* strides, size_t size) {
  int64_t last = spec.offset;
  for (size_t i = 0; i < spec.shape.size(); ++i) {
    if (spec.shape[i] == 0) return 0;
    int64_t reach = 0;
    if (__builtin_mul_overflow(spec.shape[i] - 1, strides[i], &reach) || __builtin_add_overflow(last, reach, &last)) {
      return kBeyondAnyFile;
    }
  }
  size_t bytes = 0;
  return __builtin_mul_overflow(static_cast<size_t>(last) + 1, size, &bytes) ? kBeyondAnyFile : bytes;
}

}  // namespace

void Container::load_constants(const Device& device) {
  bool has_folded = false;
  const std::vector<Constant> constants = list_constants(&has_folded);
  size_t needed = 0;
  for (const Constant& constant : constants) needed += constant.bytes;

  if (!package_.weights.empty()) {
    const std::vector<uint8_t*> places = find_weights(constants);
    if (map_weights(constants, places)) {
      for (const Weights& file : package_.weights) constant_memory_.push_back({file.data, file.data + file.size});
      sort_ranges();
    } else if (package_.metadata.is_rearranged) {
      // Copied, they would be taken for what the model's code says of them.
      throw damaged_error({"the weights of ", package_.path, " lie in another order than its code knows"},
                          {"They can only be used where they are mapped, and model.json does not say how."});
    } else {
      copy_weights(constants, places);
    }
  }
  has_hidden_constants_ = has_folded;
  if (constant_memory_.empty() && needed > 0) {
    if (!find_copies()) {
      has_hidden_constants_ = true;
    } else if (constant_memory_.empty()) {
      throw damaged_error({"the weights of ", package_.path, " are missing"},
                          {"The model keeps them apart from its code, in weights.blob."});
    }
  }

  has_folded_constants_ = has_folded;
  if (has_folded) fold_constants();
  if (package_.metadata.knows_state) describe_state(constants, device);
}

void Container::fold_constants() {
  // Left alone, the first run would do it, and a failure there leaves the container without its runner: the next call
  // would wait for it forever.
  decltype(&AOTInductorModelContainerRunConstantFolding) fold = nullptr;
  bind(original_ != nullptr ? original_->library_ : library_, "AOTInductorModelContainerRunConstantFolding", fold);
  check(fold(handle_, /*use_inactive=*/false, /*stream=*/nullptr, proxy_handle()), "folding the model's constants");
}

void Container::describe_state(const std::vector<Constant>& constants, const Device& device) {
  std::vector<std::pair<std::string, AtenTensorHandle>> all;
  if (!constants_.empty()) {
    for (size_t i = 0; i < constants.size(); ++i) all.emplace_back(constants[i].name, constants_[i].get());
  } else if (!constants.empty()) {
    const Pair* pairs = nullptr;
    size_t count = 0;
    if (!list_pairs(&pairs, &count)) return;
    for (const Constant& constant : constants) {
      const Pair* found = std::find_if(pairs, pairs + count,
                                       [&](const Pair& pair) { return std::string_view(pair.name) == constant.name; });
      if (found == pairs + count) return;
      all.emplace_back(constant.name, found->handle);
    }
  }
  auto layout = std::make_unique<StateLayout>();
  const std::vector<std::string>& names = package_.metadata.state;
  for (size_t i = 0; i < all.size(); ++i) {
    if (std::find(names.begin(), names.end(), constants[i].given_name) != names.end()) {
      layout->add(all[i].first, constants[i].given_name, all[i].second, device);
    } else {
      shared_constants_.push_back(std::move(all[i]));
    }
  }
  if (layout->parts().size() == names.size()) state_layout_ = std::move(layout);
}

void Container::share_constants(const Device& device) {
  state_ = std::make_unique<State>(*state_layout(), device);
  std::vector<Pair> pairs;
  for (const auto& [name, handle] : original_->shared_constants_) pairs.push_back({name.c_str(), handle});
  const std::vector<StatePart>& parts = state_layout()->parts();
  for (size_t i = 0; i < parts.size(); ++i) pairs.push_back({parts[i].name.c_str(), state_->tensors()[i].get()});
  if (!pairs.empty()) use(pairs.data(), pairs.size());
  if (original_->has_folded_constants_) fold_constants();
}

void Container::use(const Pair* pairs, size_t count) {
  // Spelled out, so that headers older than the function serve too.
  AOTIRuntimeError (*update)(AOTInductorModelContainerHandle, const Pair*, size_t, bool, bool) = nullptr;
  bind(original_ != nullptr ? original_->library_ : library_,
       "AOTInductorModelContainerUpdateUserManagedConstantBufferPairs", update);
  check(update(handle_, pairs, count, /*use_inactive=*/false, /*validate_full_update=*/true), "mapping the weights");
}

std::vector<Container::Constant> Container::list_constants(bool* has_folded) const {
  decltype(&AOTInductorModelContainerGetNumConstants) num_constants = nullptr;
  decltype(&AOTInductorModelContainerGetConstantName) name = nullptr;
  decltype(&AOTInductorModelContainerGetConstantOriginalFQN) given_name = nullptr;
  decltype(&AOTInductorModelContainerGetConstantDtype) dtype = nullptr;
  decltype(&AOTInductorModelContainerGetConstantDataSize) data_size = nullptr;
  decltype(&AOTInductorModelContainerGetConstantFromFolded) from_folded = nullptr;
  bind(library_, "AOTInductorModelContainerGetNumConstants", num_constants);
  bind(library_, "AOTInductorModelContainerGetConstantName", name);
  bind(library_, "AOTInductorModelContainerGetConstantOriginalFQN", given_name);
  bind(library_, "AOTInductorModelContainerGetConstantDtype", dtype);
  bind(library_, "AOTInductorModelContainerGetConstantDataSize", data_size);
  bind(library_, "AOTInductorModelContainerGetConstantFromFolded", from_folded);
  constexpr const char* kDoing = "describing the model's constants";
  size_t count = 0;
  check(num_constants(handle_, &count), kDoing);
  std::vector<Constant> constants;
  for (size_t i = 0; i < count; ++i) {
    bool is_folded = false;
    check(from_folded(handle_, i, &is_folded), kDoing);
    *has_folded = *has_folded || is_folded;
    if (is_folded) continue;
    Constant constant{};
    check(name(handle_, i, &constant.name), kDoing);
    check(given_name(handle_, i, &constant.given_name), kDoing);
    check(dtype(handle_, i, &constant.dtype), kDoing);
    check(data_size(handle_, i, &constant.bytes), kDoing);
    constants.push_back(constant);
  }
  return constants;
}

std::vector<uint8_t*> Container::find_weights(const std::vector<Constant>& constants) const {
  const std::vector<ConstantSpec>& specs = package_.metadata.constants;
  const bool are_placed =
      std::any_of(specs.begin(), specs.end(), [](const ConstantSpec& spec) { return spec.begin >= 0; });
  if (are_placed && specs.size() != constants.size()) {
    throw damaged_error({package_.path, " describes ", specs.size(), " weights and its code has ", constants.size()},
                        {"The description belongs to another model."});
  }
  struct Place {
    size_t file;
    size_t begin;
  };
  std::vector<Place> found;
  std::vector<size_t> needed(package_.metadata.weights.size());  // of each file, up to the end of its last weight
  size_t next = 0;
  for (size_t i = 0; i < constants.size(); ++i) {
    const size_t file = are_placed ? static_cast<size_t>(specs[i].file) : 0;
    const size_t begin = are_placed && specs[i].begin >= 0 ? static_cast<size_t>(specs[i].begin) : next;
    if (__builtin_add_overflow(begin, constants[i].bytes, &next)) next = kBeyondAnyFile;
    needed[file] = std::max(needed[file], next);
    found.push_back({file, begin});
  }
  // The container reads as many bytes as its constants have, without asking how many there are.
  for (size_t file = 0; file < needed.size(); ++file) {
    const size_t size = file < package_.weights.size() ? package_.weights[file].size : 0;
    if (needed[file] > size) {
      throw damaged_error({"the weights of ", package_.path, " have ", size, " bytes; the model needs ", needed[file]},
                          {"The weights are truncated, or belong to another model."});
    }
  }
  std::vector<uint8_t*> places;
  places.reserve(found.size());
  for (const Place& place : found) {
    // Of an archive, which has one file: an empty weight may be said to lie in another.
    const bool is_there = place.file < package_.weights.size();
    places.push_back(is_there ? package_.weights[place.file].data + place.begin : nullptr);
  }
  return places;
}

bool Container::map_weights(const std::vector<Constant>& constants, const std::vector<uint8_t*>& places) {
  const bool can_be_used = library_.find("AOTInductorModelContainerUpdateUserManagedConstantBufferPairs") != nullptr;
  // AOTInductor's own copy has this alignment.
  constexpr uintptr_t kAlignment = 64;
  const std::vector<ConstantSpec>& specs = package_.metadata.constants;
  const auto is_unaligned = [](const uint8_t* place) { return reinterpret_cast<uintptr_t>(place) % kAlignment != 0; };
  if (!can_be_used || package_.metadata.device != "cpu" || specs.size() != constants.size() ||
      std::any_of(places.begin(), places.end(), is_unaligned)) {
    return false;
  }
  std::vector<TensorHandle> handles;
  std::vector<PlacedWeight> packed;  // that could lie in another order
  for (size_t i = 0; i < specs.size(); ++i) {
    const Constant& constant = constants[i];
    const ConstantSpec& spec = specs[i];
    if (spec.shape.size() > kMaxDims) return false;
    const CStrides c_order(spec.shape.data(), static_cast<int32_t>(spec.shape.size()));
    const size_t size = Runtime::get().aoti_torch_dtype_element_size(constant.dtype);
    const std::string* layout = layout_of(package_.metadata, spec);
    size_t reach = 0;
    if (layout == nullptr) {
      reach = extent(spec, spec.strides.empty() ? c_order.values : spec.strides.data(), size);
    } else if (!packed_extent(*layout, spec.shape, size, &reach)) {
      return false;
    }
    if (reach > constant.bytes) {
      throw damaged_error({"the weight ", constant.name, " of ", package_.path, " is described larger than it is"},
                          {"The description belongs to another model."});
    }
    handles.push_back(borrow_weight(spec, constant.dtype, places[i], layout));
    if (layout != nullptr && is_unpackable(*layout, spec.shape)) {
      packed.push_back({i, constant.name, constant.dtype, places[i]});
    }
  }
  packed_weights_.take_order_of_cpu(packed, &handles);
  std::vector<Pair> pairs;
  pairs.reserve(handles.size());
  for (size_t i = 0; i < handles.size(); ++i) pairs.push_back({constants[i].name, handles[i].get()});
  use(pairs.data(), pairs.size());
  constants_ = std::move(handles);
  return true;
}

void Container::copy_weights(const std::vector<Constant>& constants, const std::vector<uint8_t*>& places) {
  // Spelled out, so that headers older than the function serve too: since torch 2.10, which was the first to keep
  // weights in a file of their own.
  AOTIRuntimeError (*update)(AOTInductorModelContainerHandle, const uint8_t*) = nullptr;
  bind(library_, "AOTInductorModelUpdateConstantsFromBlob", update);
  // The container takes them one behind the other. So they lie, unless they are shared with another model's.
  std::vector<uint8_t> gathered;
  const uint8_t* weights = places.empty() ? nullptr : places[0];
  for (size_t i = 1; i < places.size(); ++i) {
    if (places[i] == places[i - 1] + constants[i - 1].bytes) continue;
    for (size_t j = 0; j < places.size(); ++j) {
      gathered.insert(gathered.end(), places[j], places[j] + constants[j].bytes);
    }
    weights = gathered.data();
    break;
  }
  check(update(handle_, weights), "loading the weights");
  package_.weights.clear();
  package_.storage.clear();
}

bool Container::list_pairs(const Pair** pairs, size_t* count) const {
  // Spelled out as above.
  AOTIRuntimeError (*extract)(AOTInductorModelContainerHandle, const Pair**, size_t*, bool) = nullptr;
  bind_if_present(library_, "AOTInductorModelContainerExtractConstantsMapEntries", extract);
  if (extract == nullptr) return false;
  check(extract(handle_, pairs, count, /*use_inactive=*/false), "looking for the model's constants");
  return true;
}

bool Container::find_copies() {
  const Pair* pairs = nullptr;
  size_t count = 0;
  if (!list_pairs(&pairs, &count)) return false;
  constexpr const char* kDoing = "looking for the model's constants";
  const Runtime& runtime = Runtime::get();
  for (size_t i = 0; i < count; ++i) {
    void* data = nullptr;
    int64_t bytes = 0;
    int32_t layout = 0;
    runtime.check(runtime.aoti_torch_get_layout(pairs[i].handle, &layout), kDoing);
    // What oneDNN packed is there but has no address to tell, and no output is a view of it: an empty range.
    if (layout == runtime.aoti_torch_layout_strided()) {
      runtime.check(runtime.aoti_torch_get_data_ptr(pairs[i].handle, &data), kDoing);
      runtime.check(runtime.aoti_torch_get_storage_size(pairs[i].handle, &bytes), kDoing);
    }
    const auto* begin = static_cast<const uint8_t*>(data);
    constant_memory_.push_back({begin, begin + bytes});
  }
  sort_ranges();
  return true;
}

void Container::sort_ranges() {
  const auto by_place = [](const Range& left, const Range& right) { return left.begin < right.begin; };
  std::sort(constant_memory_.begin(), constant_memory_.end(), by_place);
}

bool Container::may_be_constant(const void* address) const {
  if (state_ != nullptr && state_->holds(address)) return true;
  if (original_ != nullptr) return has_folded_constants_ || original_->may_be_constant(address);
  if (has_hidden_constants_) return true;
  const auto after = std::upper_bound(constant_memory_.begin(), constant_memory_.end(), address,
                                      [](const void* at, const Range& range) { return at < range.begin; });
  return after != constant_memory_.begin() && address < std::prev(after)->end;
}

}  // namespace aot
