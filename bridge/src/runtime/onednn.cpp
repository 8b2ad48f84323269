// SPDX-License-Identifier: Apache-2.0
#include "runtime/onednn.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "base/text.h"
#include "runtime/runtime.h"

namespace aot {
namespace {

/// The version of libtorch's calling convention that is spoken here, torch 2.10's.
constexpr uint64_t kVersion = uint64_t{2} << 56U | uint64_t{10} << 48U;
constexpr const char* kDoing = "packing a weight for this CPU";

/// What the dispatcher is given is the dispatcher's, which frees it.
StableValue list_of(const std::vector<int64_t>& numbers) {
  const Runtime& runtime = Runtime::get();
  StableValue list = 0;
  runtime.check(runtime.op_calls().new_list(numbers.size(), &list), kDoing);
  for (const int64_t number : numbers) {
    runtime.check(runtime.op_calls().push(list, static_cast<StableValue>(number)), kDoing);
  }
  return list;
}

StableValue optional_of(StableValue value) {
  const Runtime& runtime = Runtime::get();
  StableValue* place = nullptr;
  if (runtime.op_calls().new_optional != nullptr) {
    runtime.check(runtime.op_calls().new_optional(&place), kDoing);
  } else {
    place = new StableValue;
  }
  *place = value;
  return reinterpret_cast<StableValue>(place);
}

template <class Pointer>
Pointer pointer_of(StableValue value) {
  return reinterpret_cast<Pointer>(value);  // NOLINT(performance-no-int-to-ptr): as libtorch gives them
}

StableValue value_of(TensorHandle tensor) { return reinterpret_cast<StableValue>(tensor.release()); }

/// What an op says of a packed weight.
StableValue ask(const char* name, const TensorHandle& packed) {
  const Runtime& runtime = Runtime::get();
  StableValue value = value_of(share(packed));
  runtime.check(runtime.op_calls().call(name, "", &value, kVersion), "looking at a packed weight");
  return value;
}

}  // namespace

bool can_pack() {
  const OpCalls& torch = Runtime::get().op_calls();
  return torch.call != nullptr && torch.new_list != nullptr && torch.push != nullptr && torch.version != nullptr;
}

TensorHandle pack(TensorHandle plain, const Convolution& convolution) {
  const Runtime& runtime = Runtime::get();
  std::vector<StableValue> stack{value_of(std::move(plain)), list_of(convolution.padding)};
  if (convolution.is_transposed) stack.push_back(list_of(convolution.output_padding));
  stack.push_back(list_of(convolution.stride));
  stack.push_back(list_of(convolution.dilation));
  stack.push_back(static_cast<StableValue>(convolution.groups));
  stack.push_back(convolution.input.empty() ? 0 : optional_of(list_of(convolution.input)));
  const char* const name = convolution.is_transposed ? "mkldnn::_reorder_convolution_transpose_weight"
                                                     : "mkldnn::_reorder_convolution_weight";
  runtime.check(runtime.op_calls().call(name, "", stack.data(), kVersion), kDoing);
  return TensorHandle(pointer_of<AtenTensorHandle>(stack.front()));
}

PackedWeight packed_bytes(const TensorHandle& packed) {
  const Runtime& runtime = Runtime::get();
  const TensorHandle layout(pointer_of<AtenTensorHandle>(ask("mkldnn::_get_mkldnn_serialized_md", packed)));
  int64_t size = 0;
  runtime.check(runtime.aoti_torch_get_storage_size(layout.get(), &size), "looking at a packed weight");
  return {std::string(static_cast<const char*>(data_of(layout)), static_cast<size_t>(size)),
          pointer_of<const uint8_t*>(ask("mkldnn::data_ptr", packed)), ask("mkldnn::_nbytes", packed)};
}

std::string libtorch_version() {
  const uint64_t version = Runtime::get().op_calls().version();
  return concat({version >> 56U, ".", version >> 48U & 0xffU, ".", version >> 40U & 0xffU});
}

}  // namespace aot
