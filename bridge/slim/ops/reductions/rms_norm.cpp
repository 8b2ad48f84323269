#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "tensor/iterate.h"
#include "tensor/lanes.h"

using namespace slim;

namespace {

// input / sqrt(mean(input^2) + eps) * weight over the last dims, and what it was multiplied by.
void rms_norm(const Tensor& input, const Dims& normalized, const Tensor* weight, std::optional<double> given_eps,
              AtenTensorHandle* output_handle, AtenTensorHandle* scale_handle) {
  require(is_floating(input.dtype), "rms_norm of ", dtype_name(input.dtype));
  const size_t rank = normalized.size();
  bool fits = rank >= 1 && rank <= input.sizes.size();
  for (size_t i = 0; fits && i < rank; ++i) fits = input.sizes[input.sizes.size() - rank + i] == normalized[i];
  require(fits, "rms_norm over ", to_string(normalized), " of shape ", to_string(input.sizes));
  require(weight == nullptr || weight->sizes == normalized, "a weight of shape ",
          to_string(weight != nullptr ? weight->sizes : normalized), " for ", to_string(normalized));
  const ScalarType lane = lane_of(input.dtype);
  const Tensor source = contiguous(to(input, lane));
  const Tensor factors = weight != nullptr ? contiguous(to(*weight, lane)) : Tensor();
  Dims scale_sizes = input.sizes;
  for (size_t i = 0; i < rank; ++i) scale_sizes[scale_sizes.size() - 1 - i] = 1;
  const Tensor out = empty(input.sizes, lane);
  Tensor scales = empty(scale_sizes, lane);
  const int64_t n = count(normalized);
  visit_float_lane(lane, [&](auto type) {
    using T = typename decltype(type)::type;
    const T eps = given_eps ? static_cast<T>(*given_eps) : std::numeric_limits<T>::epsilon();
    parallel_for(0, scales.numel(), std::max<int64_t>(1, kGrain / 4 / std::max<int64_t>(n, 1)),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t row = begin; row < end; ++row) {
                     const T* x = source.data<T>() + row * n;
                     double sum = 0;
                     for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
                     const T scale = 1 / std::sqrt(static_cast<T>(sum / static_cast<double>(n)) + eps);
                     scales.data<T>()[row] = scale;
                     for (int64_t i = 0; i < n; ++i) {
                       out.data<T>()[row * n + i] = x[i] * scale * (factors.defined() ? factors.data<T>()[i] : T(1));
                     }
                   }
                 });
  });
  give_all({output_handle, scale_handle}, to(out, input.dtype), std::move(scales));
}

}  // namespace

extern "C" AOTITorchError aoti_torch_cpu__fused_rms_norm(AtenTensorHandle input, const int64_t* normalized_shape,
                                                         int64_t normalized_shape_len_, AtenTensorHandle* weight,
                                                         double* eps, AtenTensorHandle* ret0, AtenTensorHandle* ret1) {
  return guard(__func__, [&] {
    rms_norm(get(input), list(normalized_shape, normalized_shape_len_), get_optional(weight), optional(eps), ret0,
             ret1);
  });
}
