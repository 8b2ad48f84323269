#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>
#include <vector>

#include "tensor/lanes.h"
#include "threads/parallel.h"

using namespace slim;

namespace {

// Where the windows of one plane start along one dim: `sample`, in [0, 1), shifts a regular sequence; the last ends at
// the end.
template <class T>
std::vector<int64_t> starts(T sample, int64_t size, int64_t count, int64_t kernel) {
  std::vector<int64_t> at(static_cast<size_t>(count), size - kernel);
  if (count <= 1) return at;
  const T step = number_as<T>(size - kernel) / number_as<T>(count - 1);
  for (int64_t i = 0; i + 1 < count; ++i) {
    // In T's own arithmetic, as in torch; half floats may round beyond the end.
    const auto place = static_cast<int64_t>(static_cast<T>((number_as<T>(i) + sample) * step)) -
                       static_cast<int64_t>(static_cast<T>(sample * step));
    at[i] = std::clamp<int64_t>(place, 0, size - kernel);
  }
  return at;
}

// The largest of windows that lie at random: `samples` [batch, channels, rank] places those of each plane.
void fractional_max_pool(const Tensor& self, const Dims& kernel, const Dims& output, const Tensor& samples, size_t rank,
                         AtenTensorHandle* values_handle, AtenTensorHandle* indices_handle) {
  require(kernel.size() == rank && output.size() == rank, "kernel ", to_string(kernel), " and output ",
          to_string(output), " for ", rank, " dims");
  require(self.sizes.size() == rank + 1 || self.sizes.size() == rank + 2, "pooling over ", rank, " dims of shape ",
          to_string(self.sizes));
  require(is_floating(self.dtype) && samples.dtype == self.dtype, "samples of ", dtype_name(samples.dtype), " for ",
          dtype_name(self.dtype));
  const size_t lead = self.sizes.size() - rank;
  const int64_t channels = self.sizes[lead - 1];
  const int64_t batch = lead == 2 ? self.sizes[0] : 1;
  require(samples.dim() == 3 && samples.sizes[0] >= batch && samples.sizes[1] >= channels &&
              samples.sizes[2] == static_cast<int64_t>(rank),
          "samples of shape ", to_string(samples.sizes), " for ", batch, " x ", channels, " planes");
  // Always three spatial dims; the missing one has a single place.
  Dims size{1, 1, 1};
  Dims window{1, 1, 1};
  Dims places{1, 1, 1};
  Dims sizes = self.sizes;
  for (size_t d = 0; d < rank; ++d) {
    size[3 - rank + d] = self.sizes[lead + d];
    window[3 - rank + d] = kernel[d];
    places[3 - rank + d] = sizes[lead + d] = output[d];
    require(kernel[d] > 0 && output[d] > 0 && output[d] + kernel[d] - 1 <= self.sizes[lead + d], "output of ",
            output[d], " windows of ", kernel[d], " in size ", self.sizes[lead + d]);
  }
  require(channels > 0, "pooling of no channels");
  const ScalarType lane = lane_of(self.dtype);
  const Tensor source = contiguous(to(self, lane));
  const Tensor random = contiguous(samples);
  const Tensor values = empty(sizes, lane);
  Tensor indices = empty(sizes, ScalarType::Long);
  const auto dims = static_cast<int64_t>(rank);
  // Starts of the windows of a plane along each of the three dims.
  auto place_windows = [&](int64_t plane) {
    std::array<std::vector<int64_t>, 3> start = {{{0}, {0}, {0}}};
    visit_floating(self.dtype, [&](auto type) {
      using T = typename decltype(type)::type;
      const T* sample = random.data<T>() + (plane / channels * samples.sizes[1] + plane % channels) * dims;
      for (size_t d = 0; d < rank; ++d) {
        // Over two dims the first sample is the width's; over three they are in the order of the dims.
        const size_t to = 3 - rank + d;
        start[to] = starts(sample[rank == 2 ? 1 - d : d], size[to], places[to], window[to]);
      }
    });
    return start;
  };
  visit_float_lane(lane, [&](auto type) {
    using T = typename decltype(type)::type;
    parallel_for(0, batch * channels, 1, [&](int64_t begin, int64_t end) {
      for (int64_t plane = begin; plane < end; ++plane) {
        const auto start = place_windows(plane);
        const T* from = source.data<T>() + plane * size[0] * size[1] * size[2];
        int64_t to = plane * places[0] * places[1] * places[2];
        for (const int64_t z : start[0]) {
          for (const int64_t y : start[1]) {
            for (const int64_t x : start[2]) {
              T most = -std::numeric_limits<T>::infinity();
              int64_t found = (z * size[1] + y) * size[2] + x;
              for (int64_t i = 0; i < window[0] * window[1] * window[2]; ++i) {
                const int64_t dx = i % window[2];
                const int64_t dy = i / window[2] % window[1];
                const int64_t dz = i / window[2] / window[1];
                const int64_t at = ((z + dz) * size[1] + y + dy) * size[2] + x + dx;
                if (from[at] > most || is_nan(from[at])) {
                  most = from[at];
                  found = at;
                }
              }
              values.data<T>()[to] = most;
              indices.data<int64_t>()[to++] = found;
            }
          }
        }
      }
    });
  });
  give_all({values_handle, indices_handle}, to(values, self.dtype), std::move(indices));
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu_fractional_max_pool2d(AtenTensorHandle self, const int64_t* kernel_size,
                                                    int64_t kernel_size_len_, const int64_t* output_size,
                                                    int64_t output_size_len_, AtenTensorHandle random_samples,
                                                    AtenTensorHandle* ret0, AtenTensorHandle* ret1) {
  return guard(__func__, [&] {
    fractional_max_pool(get(self), list(kernel_size, kernel_size_len_), list(output_size, output_size_len_),
                        get(random_samples), 2, ret0, ret1);
  });
}

AOTITorchError aoti_torch_cpu_fractional_max_pool3d(AtenTensorHandle self, const int64_t* kernel_size,
                                                    int64_t kernel_size_len_, const int64_t* output_size,
                                                    int64_t output_size_len_, AtenTensorHandle random_samples,
                                                    AtenTensorHandle* ret0, AtenTensorHandle* ret1) {
  return guard(__func__, [&] {
    fractional_max_pool(get(self), list(kernel_size, kernel_size_len_), list(output_size, output_size_len_),
                        get(random_samples), 3, ret0, ret1);
  });
}
}
