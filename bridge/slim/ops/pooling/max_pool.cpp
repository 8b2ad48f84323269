#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <algorithm>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/pool.h"
#include "tensor/lanes.h"

using namespace slim;

namespace {

// The largest of each window and where it is in its plane, counted with the last dim fastest. NaN beats every number.
void max_pool(const Tensor& self, const std::vector<Windows>& windows, MemoryFormat format,
              AtenTensorHandle* values_handle, AtenTensorHandle* indices_handle) {
  require(!is_complex(self.dtype) && self.dtype != ScalarType::Bool, "pooling of ", dtype_name(self.dtype));
  const Tensor source = to(self, lane_of(self.dtype));
  const Tensor values = pooled(self, windows, source.dtype, format);
  Tensor indices = pooled(self, windows, ScalarType::Long, format);
  const Tensor volumes = as_volumes(source, windows.size());
  const Dims stride = volumes.strides;
  const Dims size = volumes.sizes;
  visit_real_lane(source.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    // Places in a plane, as wide as T where that holds them: comparisons then work on whole registers.
    using Where = std::conditional_t<sizeof(T) == sizeof(int32_t), int32_t, int64_t>;
    require(size[2] * size[3] * size[4] <= std::numeric_limits<Where>::max(), "planes of ", to_string(size),
            " are too large");
    const T least =
        std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::lowest();
    for_each_place(source, values, windows, [&](const Place& p) {
      thread_local std::vector<Where> places;
      places.assign(static_cast<size_t>(p.channels),
                    static_cast<Where>((p.depth->start * size[3] + p.height->start) * size[4] + p.width->start));
      const T* plane = source.data<T>() + p.input;
      T* most = values.data<T>() + p.output;
      Where* found = places.data();
      std::fill_n(most, p.channels, least);
      for (int64_t d = p.depth->start; d < p.depth->end; d += p.depth->step) {
        for (int64_t h = p.height->start; h < p.height->end; h += p.height->step) {
          const T* row = plane + d * stride[2] + h * stride[3];
          const int64_t row_at = (d * size[3] + h) * size[4];
          if (p.channels == 1) {
            T largest = *most;
            for (int64_t w = p.width->start; w < p.width->end; w += p.width->step) {
              const T x = row[w * stride[4]];
              if (x > largest || is_nan(x)) {
                largest = x;
                *found = static_cast<Where>(row_at + w);
              }
            }
            *most = largest;
            continue;
          }
          for (int64_t w = p.width->start; w < p.width->end; w += p.width->step) {
            const T* x = row + w * stride[4];
            const auto at = static_cast<Where>(row_at + w);
#pragma omp simd
            for (int64_t c = 0; c < p.channels; ++c) {
              const bool taken = (x[c] > most[c]) | is_nan(x[c]);
              most[c] = taken ? x[c] : most[c];
              found[c] = taken ? at : found[c];
            }
          }
        }
      }
      std::copy_n(found, p.channels, indices.data<int64_t>() + p.output);
    });
  });
  give_all({values_handle, indices_handle}, to(values, self.dtype), std::move(indices));
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu_max_pool2d_with_indices(AtenTensorHandle self, const int64_t* kernel_size,
                                                      int64_t kernel_size_len_, const int64_t* stride,
                                                      int64_t stride_len_, const int64_t* padding, int64_t padding_len_,
                                                      const int64_t* dilation, int64_t dilation_len_, int32_t ceil_mode,
                                                      AtenTensorHandle* ret0, AtenTensorHandle* ret1) {
  return guard(__func__, [&] {
    const PoolShape shape{list(kernel_size, kernel_size_len_), list(stride, stride_len_), list(padding, padding_len_),
                          list(dilation, dilation_len_), ceil_mode != 0};
    const auto windows = sliding_windows(get(self), 2, shape);
    max_pool(get(self), windows, pooled_format(get(self), windows), ret0, ret1);
  });
}

AOTITorchError aoti_torch_cpu_max_pool3d_with_indices(AtenTensorHandle self, const int64_t* kernel_size,
                                                      int64_t kernel_size_len_, const int64_t* stride,
                                                      int64_t stride_len_, const int64_t* padding, int64_t padding_len_,
                                                      const int64_t* dilation, int64_t dilation_len_, int32_t ceil_mode,
                                                      AtenTensorHandle* ret0, AtenTensorHandle* ret1) {
  return guard(__func__, [&] {
    const PoolShape shape{list(kernel_size, kernel_size_len_), list(stride, stride_len_), list(padding, padding_len_),
                          list(dilation, dilation_len_), ceil_mode != 0};
    const auto windows = sliding_windows(get(self), 3, shape);
    max_pool(get(self), windows, pooled_format(get(self), windows), ret0, ret1);
  });
}

AOTITorchError aoti_torch_cpu_adaptive_max_pool2d(AtenTensorHandle self, const int64_t* output_size,
                                                  int64_t output_size_len_, AtenTensorHandle* ret0,
                                                  AtenTensorHandle* ret1) {
  return guard(__func__, [&] {
    const auto windows = adaptive_windows(get(self), 2, list(output_size, output_size_len_));
    max_pool(get(self), windows, pooled_format(get(self), windows), ret0, ret1);
  });
}

AOTITorchError aoti_torch_cpu_adaptive_max_pool3d(AtenTensorHandle self, const int64_t* output_size,
                                                  int64_t output_size_len_, AtenTensorHandle* ret0,
                                                  AtenTensorHandle* ret1) {
  return guard(__func__, [&] {
    const auto windows = adaptive_windows(get(self), 3, list(output_size, output_size_len_));
    max_pool(get(self), windows, MemoryFormat::kContiguous, ret0, ret1);
  });
}
}
