#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <limits>
#include <optional>
#include <string_view>

#include "tensor/iterate.h"
#include "tensor/lanes.h"

using namespace slim;

namespace {

enum class Reduction { kMax, kMin, kMean, kSum, kProduct };

Reduction reduction_of(std::string_view name) {
  if (name == "max") return Reduction::kMax;
  if (name == "min") return Reduction::kMin;
  if (name == "mean") return Reduction::kMean;
  if (name == "sum") return Reduction::kSum;
  if (name == "prod") return Reduction::kProduct;
  fail("reduction \"", name, "\" is none of max, min, mean, sum, prod");
}

double start_of(Reduction reduction) {
  switch (reduction) {
    case Reduction::kMax:
      return -std::numeric_limits<double>::infinity();
    case Reduction::kMin:
      return std::numeric_limits<double>::infinity();
    case Reduction::kProduct:
      return 1;
    default:
      return 0;
  }
}

// Boundaries int64 [..., segments + 1] from lengths [..., segments], or as they are given.
Tensor boundaries(const Tensor* lengths, const Tensor* offsets) {
  if (offsets != nullptr) return contiguous(to(*offsets, ScalarType::Long));
  require(lengths != nullptr, "neither lengths nor offsets of the segments");
  require(lengths->dim() > 0, "lengths without dims");
  const Tensor counts = contiguous(to(*lengths, ScalarType::Long));
  Dims sizes = counts.sizes;
  const int64_t segments = sizes.back();
  sizes[sizes.size() - 1] += 1;
  Tensor ends = empty(sizes, ScalarType::Long);
  const int64_t rows = segments > 0 ? counts.numel() / segments : ends.numel();
  for (int64_t row = 0; row < rows; ++row) {
    int64_t* end = ends.data<int64_t>() + row * (segments + 1);
    end[0] = 0;
    for (int64_t i = 0; i < segments; ++i) {
      const int64_t length = counts.data<int64_t>()[row * segments + i];
      require(length >= 0 && !__builtin_add_overflow(end[i], length, &end[i + 1]), "a segment of length ", length);
    }
  }
  return ends;
}

Tensor segment_reduce(const Tensor& data, Reduction reduction, const Tensor* lengths, const Tensor* offsets,
                      int64_t axis, std::optional<double> initial) {
  require(is_floating(data.dtype), "segments of ", dtype_name(data.dtype));
  const size_t d = data.wrap(axis);
  const Tensor ends = boundaries(lengths, offsets);
  require(ends.sizes.size() == d + 1 && ends.sizes.back() > 0, "segments of shape ", to_string(ends.sizes),
          " along dim ", axis);
  for (size_t i = 0; i < d; ++i) {
    require(ends.sizes[i] == data.sizes[i], "segments of shape ", to_string(ends.sizes), " for data of ",
            to_string(data.sizes));
  }
  const int64_t n = data.sizes[d];
  const int64_t segments = ends.sizes.back() - 1;
  const int64_t outer = ends.numel() / (segments + 1);
  const int64_t inner = count(Dims(data.sizes.data() + d + 1, data.sizes.size() - d - 1));
  for (int64_t row = 0; row < outer; ++row) {
    const int64_t* end = ends.data<int64_t>() + row * (segments + 1);
    for (int64_t i = 0; i < segments; ++i) {
      require(end[i] >= 0 && end[i] <= end[i + 1] && end[i + 1] <= n, "segment from ", end[i], " to ", end[i + 1],
              " of size ", n);
    }
    require(lengths == nullptr || end[segments] == n, "lengths sum up to ", end[segments], " instead of ", n);
  }
  Dims sizes = data.sizes;
  sizes[d] = segments;
  const Tensor source = contiguous(to(data, lane_of(data.dtype)));
  Tensor out = empty(sizes, source.dtype);
  visit_float_lane(source.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    parallel_for(0, outer * segments, 16, [&](int64_t begin, int64_t stop) {
      for (int64_t s = begin; s < stop; ++s) {
        const int64_t* end = ends.data<int64_t>() + s / segments * (segments + 1) + s % segments;
        const int64_t length = end[1] - end[0];
        const T* from = source.data<T>() + (s / segments * n + end[0]) * inner;
        for (int64_t j = 0; j < inner; ++j) {
          T total = static_cast<T>(initial.value_or(start_of(reduction)));
          for (int64_t i = 0; i < length; ++i) {
            const T x = from[i * inner + j];
            if (reduction == Reduction::kMax) {
              if (is_nan(x) || x > total) total = x;
            } else if (reduction == Reduction::kMin) {
              if (is_nan(x) || x < total) total = x;
            } else if (reduction == Reduction::kProduct) {
              total *= x;
            } else {
              total += x;
            }
          }
          if (reduction == Reduction::kMean && (length > 0 || !initial)) total /= static_cast<T>(length);
          out.data<T>()[s * inner + j] = total;
        }
      }
    });
  });
  return to(out, data.dtype);
}

}  // namespace

extern "C" AOTITorchError aoti_torch_cpu_segment_reduce(AtenTensorHandle data, const char* reduce,
                                                        AtenTensorHandle* lengths, AtenTensorHandle* indices,
                                                        AtenTensorHandle* offsets, int64_t axis, int32_t,
                                                        double* initial, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    require(get_optional(indices) == nullptr, "indices of segments are not supported, by torch neither");
    *ret0 = give(segment_reduce(get(data), reduction_of(reduce), get_optional(lengths), get_optional(offsets), axis,
                                optional(initial)));
  });
}
