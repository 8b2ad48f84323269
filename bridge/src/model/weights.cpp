// SPDX-License-Identifier: Apache-2.0
// How a container gets its weights: used where the file is mapped if the metadata says how they lie, copied otherwise.
#include <algorithm>
#include <utility>

#include "base/error.h"
#include "model/container.h"
#include "model/runtime.h"
#include "package/packed_layout.h"

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

void Container::load_constants() {
  bool has_folded = false;
  const std::vector<Constant> constants = list_constants(&has_folded);
  size_t needed = 0;
  for (const Constant& constant : constants) needed += constant.bytes;

  if (package_.weights != nullptr) {
    // The container reads as many bytes as its constants have, without asking how many there are.
    if (package_.weights_size < needed) {
      throw damaged_error(
          {"the weights of ", package_.path, " have ", package_.weights_size, " bytes; the model needs ", needed},
          {"The weights are truncated, or belong to another model."});
    }
    if (map_weights(constants)) {
      constant_memory_.push_back({package_.weights, package_.weights + package_.weights_size});
    } else if (package_.metadata.is_rearranged) {
      // Copied, they would be taken for what the model's code says of them.
      throw damaged_error({"the weights of ", package_.path, " lie in another order than its code knows"},
                          {"They can only be used where they are mapped, and model.json does not say how."});
    } else {
      copy_weights();
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

  if (has_folded) {
    // Left alone, the first run would do it, and a failure there leaves the container without its runner: the next call
    // would wait for it forever.
    decltype(&AOTInductorModelContainerRunConstantFolding) fold = nullptr;
    bind(library_, "AOTInductorModelContainerRunConstantFolding", fold);
    check(fold(handle_, /*use_inactive=*/false, /*stream=*/nullptr, proxy_handle()), "folding the model's constants");
  }
}

std::vector<Container::Constant> Container::list_constants(bool* has_folded) const {
  decltype(&AOTInductorModelContainerGetNumConstants) num_constants = nullptr;
  decltype(&AOTInductorModelContainerGetConstantName) name = nullptr;
  decltype(&AOTInductorModelContainerGetConstantDtype) dtype = nullptr;
  decltype(&AOTInductorModelContainerGetConstantDataSize) data_size = nullptr;
  decltype(&AOTInductorModelContainerGetConstantFromFolded) from_folded = nullptr;
  bind(library_, "AOTInductorModelContainerGetNumConstants", num_constants);
  bind(library_, "AOTInductorModelContainerGetConstantName", name);
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
    check(dtype(handle_, i, &constant.dtype), kDoing);
    check(data_size(handle_, i, &constant.bytes), kDoing);
    constants.push_back(constant);
  }
  return constants;
}

bool Container::map_weights(const std::vector<Constant>& constants) {
  // Spelled out, so that headers older than the function serve too.
  struct Pair {
    const char* name;
    AtenTensorHandle handle;
  };
  AOTIRuntimeError (*update)(AOTInductorModelContainerHandle, const Pair*, size_t, bool, bool) = nullptr;
  bind_if_present(library_, "AOTInductorModelContainerUpdateUserManagedConstantBufferPairs", update);
  // AOTInductor's own copy has this alignment.
  constexpr uintptr_t kAlignment = 64;
  const std::vector<ConstantSpec>& specs = package_.metadata.constants;
  if (update == nullptr || package_.metadata.device != "cpu" || specs.size() != constants.size() ||
      reinterpret_cast<uintptr_t>(package_.weights) % kAlignment != 0) {
    return false;
  }
  std::vector<TensorHandle> handles;
  std::vector<Pair> pairs;
  uint8_t* next = package_.weights;
  for (size_t i = 0; i < specs.size(); ++i) {
    const Constant& constant = constants[i];
    const ConstantSpec& spec = specs[i];
    if (spec.shape.size() > kMaxDims) return false;
    const auto ndim = static_cast<int32_t>(spec.shape.size());
    const CStrides c_order(spec.shape.data(), ndim);
    const int64_t* strides = spec.strides.empty() ? c_order.values : spec.strides.data();
    const size_t size = Runtime::get().aoti_torch_dtype_element_size(constant.dtype);
    const std::string* layout =
        spec.layout < 0 ? nullptr : &package_.metadata.layouts[static_cast<size_t>(spec.layout)];
    size_t reach = 0;
    if (layout == nullptr) {
      reach = extent(spec, strides, size);
    } else if (!packed_extent(*layout, spec.shape, size, &reach)) {
      return false;
    }
    if (reach > constant.bytes) {
      throw damaged_error({"the weight ", constant.name, " of ", package_.path, " is described larger than it is"},
                          {"The description belongs to another model."});
    }
    const Memory memory{next, spec.shape.data(), ndim, strides, spec.offset, constant.dtype, {AOT_DEVICE_CPU, 0}};
    handles.push_back(borrow_memory(memory, layout));
    pairs.push_back({constant.name, handles.back().get()});
    next += constant.bytes;
  }
  check(update(handle_, pairs.data(), pairs.size(), /*use_inactive=*/false, /*validate_full_update=*/true),
        "mapping the weights");
  constants_ = std::move(handles);
  return true;
}

void Container::copy_weights() {
  // Spelled out as above: since torch 2.10, which was the first to keep weights in a file of their own.
  AOTIRuntimeError (*update)(AOTInductorModelContainerHandle, const uint8_t*) = nullptr;
  bind(library_, "AOTInductorModelUpdateConstantsFromBlob", update);
  check(update(handle_, package_.weights), "loading the weights");
  package_.weights = nullptr;
  package_.storage = MappedFile();
}

bool Container::find_copies() {
  // Spelled out as above.
  struct Pair {
    const char* name;
    AtenTensorHandle handle;
  };
  AOTIRuntimeError (*extract)(AOTInductorModelContainerHandle, const Pair**, size_t*, bool) = nullptr;
  bind_if_present(library_, "AOTInductorModelContainerExtractConstantsMapEntries", extract);
  if (extract == nullptr) return false;
  const Pair* pairs = nullptr;
  size_t count = 0;
  constexpr const char* kDoing = "looking for the model's constants";
  check(extract(handle_, &pairs, &count, /*use_inactive=*/false), kDoing);
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
  const auto by_place = [](const Range& left, const Range& right) { return left.begin < right.begin; };
  std::sort(constant_memory_.begin(), constant_memory_.end(), by_place);
  return true;
}

bool Container::may_be_constant(const void* address) const {
  if (has_hidden_constants_) return true;
  const auto after = std::upper_bound(constant_memory_.begin(), constant_memory_.end(), address,
                                      [](const void* at, const Range& range) { return at < range.begin; });
  return after != constant_memory_.begin() && address < std::prev(after)->end;
}

}  // namespace aot
