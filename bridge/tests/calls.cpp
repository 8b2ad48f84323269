// SPDX-License-Identifier: Apache-2.0
#include "calls.h"

#include <algorithm>
#include <cstring>

namespace calls {
namespace {

int64_t nearest(const aot_dim& dim, int64_t size) {
  size = std::max(size, dim.min);
  return dim.max < 0 ? size : std::min(size, dim.max);
}

}  // namespace

Inputs::Inputs(const aot_model* model, int64_t size) {
  const size_t count = aot_model_num_inputs(model);
  shapes_.resize(count);
  bytes_.resize(count);
  for (size_t i = 0; i < count; ++i) {
    aot_tensor_info info{};
    info.struct_size = sizeof info;
    aot_model_input_info(model, i, &info);
    size_t elements = 1;
    for (int32_t d = 0; d < info.ndim; ++d) {
      shapes_[i].push_back(nearest(info.dims[d], size));
      elements *= static_cast<size_t>(shapes_[i].back());
    }
    const size_t bytes = info.dtype.bits / 8U;
    bytes_[i].resize(elements * bytes);  // zeros, but for floats
    for (size_t e = 0; info.dtype.code == AOT_FLOAT && bytes == sizeof(float) && e < elements; ++e) {
      const float value = static_cast<float>((e * 7 + static_cast<size_t>(size)) % 13) / 8;
      std::memcpy(&bytes_[i][e * bytes], &value, bytes);
    }
    views_.push_back(
        {bytes_[i].data(), {AOT_DEVICE_CPU, 0}, info.ndim, info.dtype, shapes_[i].data(), nullptr, /*byte_offset=*/0});
  }
}

Outputs run(aot_model* model, const Inputs& inputs) {
  Outputs outputs{AOT_OK, std::vector<aot_tensor*>(aot_model_num_outputs(model), nullptr)};
  outputs.status = aot_model_run(model, inputs.views().data(), inputs.views().size(), outputs.tensors.data(),
                                 outputs.tensors.size(), nullptr);
  return outputs;
}

std::string bytes_of(const aot_tensor* tensor) {
  const aot_view& view = *aot_tensor_view(tensor);
  size_t count = 1;
  for (int32_t d = 0; d < view.ndim; ++d) count *= static_cast<size_t>(view.shape[d]);
  std::string content(count * view.dtype.bits / 8U, '\0');
  return aot_tensor_copy(tensor, content.data(), content.size()) == AOT_OK ? content : "";
}

aot_model* load(const char* path, uint32_t runners) {
  aot_load_options options{};
  options.struct_size = sizeof options;
  options.num_runners = runners;
  // One thread a call: sanitizers do not know GCC's OpenMP and would report its own synchronisation.
  options.num_threads = 1;
  aot_model* model = nullptr;
  return aot_model_load(path, &options, &model) == AOT_OK ? model : nullptr;
}

}  // namespace calls
