#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "tensor/lanes.h"

using namespace slim;

namespace {

struct Range {
  double low, high;
};

// The two numbers given, or the range of the values; one of no width grows by `margin` at both ends.
template <class T>
Range range_of(const double* given, const T* values, int64_t n, int64_t step, double margin) {
  Range range = given != nullptr ? Range{given[0], given[1]} : Range{0, n > 0 ? 0.0 : 1.0};
  if (given == nullptr && n > 0) {
    range = {static_cast<double>(values[0]), static_cast<double>(values[0])};
    for (int64_t i = 0; i < n && !is_nan(range.low); ++i) {
      const auto x = static_cast<double>(values[i * step]);
      range = is_nan(x) ? Range{x, x} : Range{std::min(range.low, x), std::max(range.high, x)};
    }
  }
  require(std::isfinite(range.low) && std::isfinite(range.high), "a histogram from ", range.low, " to ", range.high);
  require(range.low <= range.high, "a histogram from ", range.low, " down to ", range.high);
  if (range.low == range.high) range = {range.low - margin, range.high + margin};
  return range;
}

void require_real(const Tensor& self) {
  require(self.dtype == ScalarType::Float || self.dtype == ScalarType::Double, "a histogram of ",
          dtype_name(self.dtype), ", neither float32 nor float64");
}

// How many bins lie before x.
template <class T>
T place_in(T x, T low, T high, int64_t bins) {
  return (x - low) * static_cast<T>(bins) / (high - low);
}

Tensor histc(const Tensor& self, int64_t bins, double low, double high) {
  require_real(self);
  require(bins > 0, "a histogram of ", bins, " bins");
  const Tensor values = contiguous(self);
  Tensor out = zeros({bins}, self.dtype);
  visit_float_lane(self.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    const double given[] = {low, high};
    const Range range = range_of(low == high ? nullptr : given, values.data<T>(), values.numel(), 1, 1);
    const auto first = static_cast<T>(range.low);
    const auto last = static_cast<T>(range.high);
    require(std::isfinite(first) && std::isfinite(last), "a histogram from ", range.low, " to ", range.high, " of ",
            dtype_name(self.dtype));
    // As torch does it, in T, unless its numbers do not reach: nothing there says what an infinite place, or none, is.
    const bool reaches = first < last && std::isfinite((last - first) * static_cast<T>(bins));
    T* counts = out.data<T>();
    for (int64_t i = 0; i < values.numel(); ++i) {
      const T x = values.data<T>()[i];
      if (!(x >= first && x <= last)) continue;
      const auto bin = static_cast<int64_t>(reaches ? place_in<T>(x, first, last, bins)
                                                    : place_in<long double>(x, range.low, range.high, bins));
      ++counts[std::clamp<int64_t>(bin, 0, bins - 1)];
    }
  });
  return out;
}

// Torch's linspace: from both ends towards the middle, each product and sum rounded once.
template <class T>
std::vector<T> edges_of(Range range, int64_t bins) {
  std::vector<T> edges(static_cast<size_t>(bins + 1));
  const T step = (static_cast<T>(range.high) - static_cast<T>(range.low)) / static_cast<T>(bins);
  for (int64_t i = 0; i <= bins; ++i) {
    edges[i] = i < (bins + 1) / 2 ? std::fma(step, static_cast<T>(i), static_cast<T>(range.low))
                                  : std::fma(-step, static_cast<T>(bins - i), static_cast<T>(range.high));
  }
  return edges;
}

// Counts, or sums of weights, of points of `bins.size()` dims; density: divided by their sum and the bins' volumes.
// `edges`, where asked for, gets those of a single dim.
Tensor histogram(const Tensor& points, const Dims& bins, const double* ranges, const Tensor* weight, bool density,
                 Tensor* edges_out) {
  require_real(points);
  const auto dims = static_cast<int64_t>(bins.size());
  for (const int64_t n : bins) require(n > 0, "a histogram of ", n, " bins");
  const Tensor flat = contiguous(reshape(points, {-1, dims}));
  const int64_t n = flat.sizes[0];
  require(weight == nullptr || (weight->dtype == points.dtype && weight->numel() == n), "weights must be ", n, " of ",
          dtype_name(points.dtype));
  const Tensor weights = weight != nullptr ? contiguous(*weight) : Tensor();
  Tensor out = zeros(bins, points.dtype);
  visit_float_lane(points.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    std::vector<std::vector<T>> edges;
    for (int64_t d = 0; d < dims; ++d) {
      const double* given = ranges != nullptr ? ranges + 2 * d : nullptr;
      edges.push_back(edges_of<T>(range_of(given, flat.data<T>() + d, n, dims, 0.5), bins[d]));
    }
    T* counts = out.data<T>();
    for (int64_t i = 0; i < n; ++i) {
      int64_t place = 0;
      bool inside = true;
      for (int64_t d = 0; d < dims && inside; ++d) {
        const T x = flat.data<T>()[i * dims + d];
        const std::vector<T>& edge = edges[d];
        inside = x >= edge.front() && x <= edge.back();
        const int64_t bin = std::upper_bound(edge.begin(), edge.end(), x) - edge.begin() - 1;
        place = place * bins[d] + std::min(bin, bins[d] - 1);
      }
      if (inside) counts[place] += weights.defined() ? weights.data<T>()[i] : T(1);
    }
    if (density) {
      const T sum = std::accumulate(counts, counts + out.numel(), T(0));
      for (int64_t i = 0; i < out.numel(); ++i) {
        T volume = 1;
        int64_t rest = i;
        for (int64_t d = dims - 1; d >= 0; --d) {
          const int64_t bin = rest % bins[d];
          rest /= bins[d];
          volume *= edges[d][bin + 1] - edges[d][bin];
        }
        counts[i] /= sum * volume;
      }
    }
    if (edges_out != nullptr) {
      *edges_out = empty({bins[0] + 1}, points.dtype);
      std::copy(edges[0].begin(), edges[0].end(), edges_out->data<T>());
    }
  });
  return out;
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu_histc(AtenTensorHandle self, int64_t bins, double min, double max,
                                    AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(histc(get(self), bins, min, max)); });
}

AOTITorchError aoti_torch_cpu_histogram_bin_ct(AtenTensorHandle self, int64_t bins, const double** range,
                                               int64_t range_len_, AtenTensorHandle* weight, int32_t density,
                                               AtenTensorHandle* ret0, AtenTensorHandle* ret1) {
  return guard(__func__, [&] {
    require(range == nullptr || range_len_ == 2, "a range of ", range_len_, " numbers, not 2");
    Tensor edges;
    const Tensor points = reshape(get(self), {-1, 1});
    Tensor counts = histogram(points, {bins}, range ? *range : nullptr, get_optional(weight), density != 0, &edges);
    give_all({ret0, ret1}, std::move(counts), std::move(edges));
  });
}

AOTITorchError aoti_torch_cpu__histogramdd_from_bin_cts(AtenTensorHandle self, const int64_t* bins, int64_t bins_len_,
                                                        const double** range, int64_t range_len_,
                                                        AtenTensorHandle* weight, int32_t density,
                                                        AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    require(get(self).dim() >= 2 && get(self).size(-1) == bins_len_, "points of shape ", to_string(get(self).sizes),
            " for ", bins_len_, " numbers of bins");
    require(range == nullptr || range_len_ == 2 * bins_len_, "a range of ", range_len_, " numbers, not ",
            2 * bins_len_);
    *ret0 = give(histogram(get(self), list(bins, bins_len_), range ? *range : nullptr, get_optional(weight),
                           density != 0, nullptr));
  });
}
}
