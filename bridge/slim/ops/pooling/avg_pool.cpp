#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "kernels/pool.h"
#include "tensor/lanes.h"

using namespace slim;

namespace {

// What a window's sum is divided by.
struct Divisor {
  bool include_padding = true;
  std::optional<int64_t> override;
};

Tensor avg_pool(const Tensor& self, const std::vector<Windows>& windows, MemoryFormat format, const Divisor& divisor) {
  require(!is_complex(self.dtype) && self.dtype != ScalarType::Bool, "pooling of ", dtype_name(self.dtype));
  require(divisor.override != 0, "a divisor of 0");
  const Tensor source = to(self, lane_of(self.dtype));
  const Tensor out = pooled(self, windows, source.dtype, format);
  const Dims stride = as_volumes(source, windows.size()).strides;
  visit_real_lane(source.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    for_each_place(source, out, windows, [&](const Place& p) {
      const T* plane = source.data<T>() + p.input;
      T* sum = out.data<T>() + p.output;
      std::fill_n(sum, p.channels, T(0));
      for (int64_t d = p.depth->start; d < p.depth->end; ++d) {
        for (int64_t h = p.height->start; h < p.height->end; ++h) {
          const T* row = plane + d * stride[2] + h * stride[3];
          if (p.channels == 1) {
            T total = *sum;
            for (int64_t w = p.width->start; w < p.width->end; ++w) total += row[w * stride[4]];
            *sum = total;
            continue;
          }
          for (int64_t w = p.width->start; w < p.width->end; ++w) {
            const T* x = row + w * stride[4];
#pragma omp simd
            for (int64_t c = 0; c < p.channels; ++c) sum[c] += x[c];
          }
        }
      }
      int64_t n = 1;
      for (const Window* window : {p.depth, p.height, p.width}) {
        if (window->end <= window->start) return;  // nothing in it but padding: the sum of 0 stays
        n *= divisor.include_padding ? window->padded : window->end - window->start;
      }
      const auto by = static_cast<T>(divisor.override.value_or(n));
#pragma omp simd
      for (int64_t c = 0; c < p.channels; ++c) sum[c] /= by;
    });
  });
  return to(out, self.dtype);
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu_avg_pool2d(AtenTensorHandle self, const int64_t* kernel_size, int64_t kernel_size_len_,
                                         const int64_t* stride, int64_t stride_len_, const int64_t* padding,
                                         int64_t padding_len_, int32_t ceil_mode, int32_t count_include_pad,
                                         int64_t* divisor_override, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    const PoolShape shape{list(kernel_size, kernel_size_len_),
                          list(stride, stride_len_),
                          list(padding, padding_len_),
                          {1},
                          ceil_mode != 0};
    const auto windows = sliding_windows(get(self), 2, shape);
    *ret0 = give(avg_pool(get(self), windows, pooled_format(get(self), windows),
                          {count_include_pad != 0, optional(divisor_override)}));
  });
}

AOTITorchError aoti_torch_cpu_avg_pool3d(AtenTensorHandle self, const int64_t* kernel_size, int64_t kernel_size_len_,
                                         const int64_t* stride, int64_t stride_len_, const int64_t* padding,
                                         int64_t padding_len_, int32_t ceil_mode, int32_t count_include_pad,
                                         int64_t* divisor_override, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    const PoolShape shape{list(kernel_size, kernel_size_len_),
                          list(stride, stride_len_),
                          list(padding, padding_len_),
                          {1},
                          ceil_mode != 0};
    const auto windows = sliding_windows(get(self), 3, shape);
    *ret0 = give(
        avg_pool(get(self), windows, MemoryFormat::kContiguous, {count_include_pad != 0, optional(divisor_override)}));
  });
}

AOTITorchError aoti_torch_cpu__adaptive_avg_pool2d(AtenTensorHandle self, const int64_t* output_size,
                                                   int64_t output_size_len_, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    const auto windows = adaptive_windows(get(self), 2, list(output_size, output_size_len_));
    *ret0 = give(avg_pool(get(self), windows, pooled_format(get(self), windows), {}));
  });
}

AOTITorchError aoti_torch_cpu__adaptive_avg_pool3d(AtenTensorHandle self, const int64_t* output_size,
                                                   int64_t output_size_len_, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    const auto windows = adaptive_windows(get(self), 3, list(output_size, output_size_len_));
    *ret0 = give(avg_pool(get(self), windows, MemoryFormat::kContiguous, {}));
  });
}
}
