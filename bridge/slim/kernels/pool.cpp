#include "kernels/pool.h"

#include <algorithm>
#include <utility>

#include "threads/parallel.h"

namespace slim {
namespace {

int64_t of_dim(const Dims& values, size_t rank, size_t d, const char* what) {
  require(values.size() == 1 || values.size() == rank, what, " ", to_string(values), " for ", rank, " dims");
  return values.size() == 1 ? values[0] : values[d];
}

void check_input(const Tensor& self, size_t rank) {
  const auto dims = static_cast<int64_t>(rank);
  require(self.dim() == dims + 1 || self.dim() == dims + 2, "pooling over ", rank, " dims of shape ",
          to_string(self.sizes));
  for (int64_t d = self.dim() == dims + 2 ? 1 : 0; d < self.dim(); ++d) {
    require(self.sizes[d] > 0, "pooling of shape ", to_string(self.sizes), " with an empty dim other than the batch");
  }
}

Windows sliding(int64_t size, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation, bool ceil_mode) {
  require(kernel > 0 && stride > 0 && dilation > 0, "kernel of ", kernel, ", stride of ", stride, " and dilation of ",
          dilation, " must be positive");
  require(padding >= 0 && padding <= kernel / 2, "padding of ", padding, " exceeds half the kernel of ", kernel);
  const int64_t reach = dilation * (kernel - 1) + 1;
  const int64_t room = size + 2 * padding - reach + (ceil_mode ? stride - 1 : 0);
  int64_t count = (room >= 0 ? room / stride : -((-room + stride - 1) / stride)) + 1;
  if (ceil_mode && (count - 1) * stride >= size + padding) --count;  // the last window must start inside
  require(count >= 1, "size ", size, " is too small for a kernel of ", kernel);
  Windows windows;
  for (int64_t i = 0; i < count; ++i) {
    int64_t start = i * stride - padding;
    const int64_t padded = std::min(start + reach, size + padding) - start;
    const int64_t end = std::min(start + reach, size);
    if (start < 0) start += (-start + dilation - 1) / dilation * dilation;
    windows.push_back({start, end, dilation, padded});
  }
  return windows;
}

}  // namespace

std::vector<Windows> sliding_windows(const Tensor& self, size_t rank, const PoolShape& shape) {
  check_input(self, rank);
  std::vector<Windows> all;
  for (size_t d = 0; d < rank; ++d) {
    const int64_t kernel = of_dim(shape.kernel, rank, d, "kernel");
    const int64_t stride = shape.stride.empty() ? kernel : of_dim(shape.stride, rank, d, "stride");
    all.push_back(sliding(self.sizes[self.sizes.size() - rank + d], kernel, stride,
                          of_dim(shape.padding, rank, d, "padding"), of_dim(shape.dilation, rank, d, "dilation"),
                          shape.ceil_mode));
  }
  return all;
}

std::vector<Windows> adaptive_windows(const Tensor& self, size_t rank, const Dims& output_size) {
  check_input(self, rank);
  require(output_size.size() == rank, "output size ", to_string(output_size), " for ", rank, " dims");
  std::vector<Windows> all;
  for (size_t d = 0; d < rank; ++d) {
    const int64_t from = self.sizes[self.sizes.size() - rank + d];
    const int64_t to = output_size[d];
    require(to >= 0, "negative output size in ", to_string(output_size));
    Windows windows;
    for (int64_t i = 0; i < to; ++i) {
      const int64_t start = i * from / to;
      const int64_t end = ((i + 1) * from + to - 1) / to;
      windows.push_back({start, end, 1, end - start});
    }
    all.push_back(std::move(windows));
  }
  return all;
}

Tensor pooled(const Tensor& self, const std::vector<Windows>& windows, ScalarType dtype, MemoryFormat format) {
  Dims sizes = self.sizes;
  for (size_t d = 0; d < windows.size(); ++d) {
    sizes[sizes.size() - windows.size() + d] = static_cast<int64_t>(windows[d].size());
  }
  return empty(sizes, dtype, format);
}

MemoryFormat pooled_format(const Tensor& self, const std::vector<Windows>& windows) {
  return self.sizes.size() == windows.size() + 2 ? suggest_memory_format(self) : MemoryFormat::kContiguous;
}

Tensor as_volumes(const Tensor& self, size_t rank) {
  Tensor volumes = self.sizes.size() == rank + 1 ? unsqueeze(self, 0) : self;
  while (volumes.dim() < 5) volumes = unsqueeze(volumes, 2);
  return volumes;
}

void for_each_place(const Tensor& input, const Tensor& output, const std::vector<Windows>& windows, PlaceFunction call,
                    const void* f) {
  static const Windows kWhole = {{0, 1, 1, 1}};
  std::array<const Windows*, 3> axes = {&kWhole, &kWhole, &kWhole};
  for (size_t d = 0; d < windows.size(); ++d) axes[3 - windows.size() + d] = &windows[d];
  const Tensor from = as_volumes(input, windows.size());
  const Tensor to = as_volumes(output, windows.size());
  if (to.numel() == 0) return;
  // Channels that are neighbours in memory are taken together.
  const bool together = from.sizes[1] > 1 && from.strides[1] == 1 && to.strides[1] == 1;
  const int64_t channels = together ? from.sizes[1] : 1;
  const int64_t groups = from.sizes[1] / channels;
  const int64_t rows = to.sizes[0] * groups * to.sizes[2] * to.sizes[3];
  const int64_t cost = from.numel() / rows + to.sizes[4];
  parallel_for(0, rows, std::max<int64_t>(1, kGrain / 4 / cost), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t height = row % to.sizes[3];
      const int64_t depth = row / to.sizes[3] % to.sizes[2];
      const int64_t group = row / to.sizes[3] / to.sizes[2] % groups;
      const int64_t batch = row / to.sizes[3] / to.sizes[2] / groups;
      Place place{&(*axes[0])[depth],
                  &(*axes[1])[height],
                  nullptr,
                  batch * from.strides[0] + group * from.strides[1],
                  batch * to.strides[0] + group * to.strides[1] + depth * to.strides[2] + height * to.strides[3],
                  channels};
      for (const Window& width : *axes[2]) {
        place.width = &width;
        call(f, place);
        place.output += to.strides[4];
      }
    }
  });
}

}  // namespace slim
