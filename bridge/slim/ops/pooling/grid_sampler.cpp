#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <algorithm>
#include <cmath>

#include "tensor/lanes.h"
#include "threads/parallel.h"

using namespace slim;

namespace {

enum class Mode : int64_t { kBilinear = 0, kNearest = 1 };
enum class Padding : int64_t { kZeros = 0, kBorder = 1, kReflection = 2 };

// Where -1 to 1 falls on a row of `size` pixels; the padding mode says what becomes of places outside.
template <class T>
T pixel(T x, int64_t size, Padding padding, bool align_corners) {
  const auto n = static_cast<T>(size);
  x = align_corners ? (x + 1) / 2 * (n - 1) : ((x + 1) * n - 1) / 2;
  if (padding == Padding::kReflection) {
    const T low = align_corners ? T(0) : T(-0.5);
    const T span = align_corners ? n - 1 : n;
    if (span <= 0) {
      x = 0;
    } else {
      const T distance = std::fabs(x - low);
      const T rest = std::fmod(distance, span);
      x = std::fmod(std::floor(distance / span), T(2)) == 0 ? rest + low : span - rest + low;
    }
  }
  if (padding != Padding::kZeros) x = x < n - 1 ? std::max(x, T(0)) : n - 1;  // NaN goes to the end, as in torch
  // So far outside that no pixel is near, NaN too; and an integer can hold it.
  return x >= T(-100) && x <= T(INT32_MAX - 1) ? x : T(-100);
}

Tensor grid_sampler_3d(const Tensor& input, const Tensor& grid, Mode mode, Padding padding, bool align_corners) {
  require(input.dim() == 5 && grid.dim() == 5 && grid.sizes[4] == 3 && grid.sizes[0] == input.sizes[0],
          "a grid of shape ", to_string(grid.sizes), " for volumes of ", to_string(input.sizes));
  require(input.dtype == grid.dtype, "a grid of ", dtype_name(grid.dtype), " for volumes of ", dtype_name(input.dtype));
  require(is_floating(input.dtype), "sampling of ", dtype_name(input.dtype));
  for (size_t d = 2; d < 5; ++d) require(input.sizes[d] > 0, "sampling of empty volumes ", to_string(input.sizes));
  require(mode == Mode::kBilinear || mode == Mode::kNearest, "interpolation mode ", static_cast<int64_t>(mode),
          " is neither 0 (bilinear) nor 1 (nearest)");
  const ScalarType lane = lane_of(input.dtype);
  const Tensor source = to(input, lane);
  const Tensor places = contiguous(to(grid, lane));
  const Dims size = input.sizes;
  const Dims stride = source.strides;
  const int64_t volume = count({grid.sizes[1], grid.sizes[2], grid.sizes[3]});
  const Tensor out = empty({size[0], size[1], grid.sizes[1], grid.sizes[2], grid.sizes[3]}, lane);
  if (out.numel() == 0) return to(out, input.dtype);
  visit_float_lane(lane, [&](auto type) {
    using T = typename decltype(type)::type;
    parallel_for(0, size[0] * volume, std::max<int64_t>(1, kGrain / 16 / size[1]), [&](int64_t begin, int64_t end) {
      for (int64_t at = begin; at < end; ++at) {
        const T* place = places.data<T>() + at * 3;
        const T* from = source.data<T>() + at / volume * stride[0];
        T* to = out.data<T>() + at / volume * size[1] * volume + at % volume;
        int64_t corner[3];  // of depth, height, width
        T part[3];          // how far on to the next
        for (int d = 0; d < 3; ++d) {
          const T x = pixel(place[2 - d], size[d + 2], padding, align_corners);
          const T whole = mode == Mode::kNearest ? std::nearbyint(x) : std::floor(x);
          corner[d] = static_cast<int64_t>(whole);
          part[d] = x - whole;
        }
        // The corners inside the volume and their weights, the same for all channels.
        int64_t offset[8];
        T weight[8];
        int corners = 0;
        for (int i = 0; i < (mode == Mode::kNearest ? 1 : 8); ++i) {
          offset[corners] = 0;
          weight[corners] = 1;
          bool inside = true;
          for (int d = 0; d < 3; ++d) {
            const int64_t step = (i >> (2 - d)) & 1;
            const int64_t k = corner[d] + step;
            inside = inside && k >= 0 && k < size[d + 2];
            offset[corners] += k * stride[d + 2];
            if (mode == Mode::kBilinear) weight[corners] *= step != 0 ? part[d] : 1 - part[d];
          }
          if (inside) ++corners;
        }
        for (int64_t c = 0; c < size[1]; ++c) {
          T sum = 0;
          for (int i = 0; i < corners; ++i) sum += weight[i] * from[c * stride[1] + offset[i]];
          to[c * volume] = sum;
        }
      }
    });
  });
  return to(out, input.dtype);
}

}  // namespace

extern "C" AOTITorchError aoti_torch_cpu_grid_sampler_3d(AtenTensorHandle input, AtenTensorHandle grid,
                                                         int64_t interpolation_mode, int64_t padding_mode,
                                                         int32_t align_corners, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    require(padding_mode >= 0 && padding_mode <= 2, "padding mode ", padding_mode, " is none of 0, 1, 2");
    *ret0 = give(grid_sampler_3d(get(input), get(grid), static_cast<Mode>(interpolation_mode),
                                 static_cast<Padding>(padding_mode), align_corners != 0));
  });
}
