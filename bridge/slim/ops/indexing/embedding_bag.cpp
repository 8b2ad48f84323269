#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "tensor/iterate.h"
#include "tensor/lanes.h"

using namespace slim;

namespace {

enum class Mode : int64_t { kSum = 0, kMean = 1, kMax = 2 };

// All but the first serve the gradient. Their shapes are those that torch knows at export, since code that checks what
// ops give it holds them to it: emptier where torch on the CPU has a shorter way, and filled up with zeros. Their
// values are those that torch gives where nothing asks for a gradient, which for a sum needs no counts.
struct Bags {
  Tensor output;       // [bags, width]
  Tensor offset2bag;   // [indices]: the bag each index is in; [0] where a sum takes the shorter way
  Tensor bag_size;     // [bags]: without padding, zeros for kSum; [offsets] for the forward pass alone
  Tensor max_indices;  // [bags, width] for kMax: the row each maximum is from; else [bags], the same as bag_size
};

Bags embedding_bag(const Tensor& weight, const Tensor& given_indices, const Tensor& given_offsets, Mode mode,
                   const Tensor* per_sample_weights, bool include_last_offset, int64_t padding_idx, bool forward_only) {
  require(weight.dim() == 2, "weight of shape ", to_string(weight.sizes), " instead of two dims");
  require(given_indices.dim() == 1 && given_offsets.dim() == 1, "indices and offsets must have one dim");
  require(is_floating(weight.dtype), "weight of ", dtype_name(weight.dtype), " instead of a floating point type");
  const int64_t rows = weight.sizes[0];
  const int64_t width = weight.sizes[1];
  const ScalarType index_dtype = promote(given_indices.dtype, given_offsets.dtype);
  require(index_dtype == ScalarType::Long || index_dtype == ScalarType::Int,
          "indices and offsets must be int64 or int32");
  const Tensor indices = contiguous(to(given_indices, ScalarType::Long));
  const Tensor offsets = contiguous(to(given_offsets, ScalarType::Long));
  const auto* index = indices.data<int64_t>();
  const auto* offset = offsets.data<int64_t>();
  const int64_t given = offsets.numel();
  require(!include_last_offset || given >= 1, "include_last_offset needs at least one offset");
  const int64_t bags = include_last_offset ? given - 1 : given;
  require(given == 0 || offset[0] == 0, "offsets start with ", given == 0 ? 0 : offset[0], " instead of 0");
  for (int64_t b = 0; b < given; ++b) {
    const int64_t end = b + 1 < given ? offset[b + 1] : indices.numel();
    require(offset[b] <= end, "offset ", offset[b], " lies behind the next one or behind all ", indices.numel(),
            " indices");
  }
  for (int64_t i = 0; i < indices.numel(); ++i) {
    require(index[i] >= 0 && index[i] < rows, "index ", index[i], " is out of range for size ", rows, " of dim 0");
  }
  Tensor scales;
  if (per_sample_weights != nullptr) {
    require(mode == Mode::kSum, "per_sample_weights go with the sum alone");
    require(per_sample_weights->sizes == indices.sizes && per_sample_weights->dtype == weight.dtype,
            "per_sample_weights must be ", dtype_name(weight.dtype), " of shape ", to_string(indices.sizes));
    scales = contiguous(*per_sample_weights);
  }
  if (padding_idx < 0 && padding_idx != -1) padding_idx = checked_index(padding_idx, 0, rows, "padding_idx");

  const int64_t bag_sizes = forward_only ? given : bags;
  Bags result{zeros({bags, width}, weight.dtype), zeros({indices.numel()}, index_dtype),
              zeros({bag_sizes}, ScalarType::Long),
              mode == Mode::kMax ? zeros({bags, width}, ScalarType::Long) : zeros({bags}, ScalarType::Long)};
  const Tensor rows_of = weight.strides[1] == 1 ? weight : contiguous(weight);
  const Tensor bag_of = zeros({indices.numel()}, ScalarType::Long);
  visit_floating(weight.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    using Sum = Accumulate<T>;
    parallel_for(0, bags, std::max<int64_t>(1, kGrain / std::max<int64_t>(width * 8, 1)),
                 [&](int64_t first, int64_t last) {
                   std::vector<Sum> sum(static_cast<size_t>(width));
                   for (int64_t b = first; b < last; ++b) {
                     const int64_t end = b + 1 < given ? offset[b + 1] : indices.numel();
                     int64_t taken = 0;
                     std::fill(sum.begin(), sum.end(), Sum(0));
                     for (int64_t i = offset[b]; i < end; ++i) {
                       bag_of.data<int64_t>()[i] = b;
                       if (index[i] == padding_idx) continue;
                       const T* row = rows_of.data<T>() + index[i] * rows_of.strides[0];
                       if (mode == Mode::kMax) {
                         int64_t* from = result.max_indices.data<int64_t>() + b * width;
                         for (int64_t j = 0; j < width; ++j) {
                           const auto x = static_cast<Sum>(row[j]);
                           if (taken > 0 && !(x > sum[j])) continue;
                           sum[j] = x;
                           from[j] = index[i];
                         }
                       } else {
                         const Sum scale = scales.defined() ? static_cast<Sum>(scales.data<T>()[i]) : Sum(1);
                         Sum* total = sum.data();
#pragma omp simd
                         for (int64_t j = 0; j < width; ++j) total[j] += scale * static_cast<Sum>(row[j]);
                       }
                       ++taken;
                     }
                     if (mode != Mode::kSum) result.bag_size.data<int64_t>()[b] = taken;
                     if (mode == Mode::kMean) result.max_indices.data<int64_t>()[b] = taken;
                     const Sum divisor = mode == Mode::kMean && taken > 0 ? static_cast<Sum>(taken) : Sum(1);
                     for (int64_t j = 0; j < width; ++j) {
                       result.output.data<T>()[b * width + j] = static_cast<T>(sum[j] / divisor);
                     }
                   }
                 });
  });
  const bool takes_shorter_way = mode == Mode::kSum && padding_idx == -1 && weight.strides[1] == 1 &&
                                 (weight.dtype == ScalarType::Float || weight.dtype == ScalarType::Half) &&
                                 (per_sample_weights == nullptr || per_sample_weights->strides[0] == 1);
  result.offset2bag = takes_shorter_way ? zeros({0}, index_dtype) : to(bag_of, index_dtype);
  result.bag_size = to(result.bag_size, index_dtype);
  result.max_indices = to(result.max_indices, index_dtype);
  return result;
}

AOTITorchError give_bags(const char* function, bool forward_only, AtenTensorHandle weight, AtenTensorHandle indices,
                         AtenTensorHandle offsets, int64_t mode, AtenTensorHandle* per_sample_weights,
                         int32_t include_last_offset, int64_t padding_idx, AtenTensorHandle* ret0,
                         AtenTensorHandle* ret1, AtenTensorHandle* ret2, AtenTensorHandle* ret3) {
  return guard(function, [&] {
    require(mode >= 0 && mode <= 2, "mode ", mode, " is none of 0 (sum), 1 (mean), 2 (max)");
    Bags bags = embedding_bag(get(weight), get(indices), get(offsets), static_cast<Mode>(mode),
                              get_optional(per_sample_weights), include_last_offset != 0, padding_idx, forward_only);
    give_all({ret0, ret1, ret2, ret3}, std::move(bags.output), std::move(bags.offset2bag), std::move(bags.bag_size),
             std::move(bags.max_indices));
  });
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu__embedding_bag(AtenTensorHandle weight, AtenTensorHandle indices,
                                             AtenTensorHandle offsets, int32_t, int64_t mode, int32_t,
                                             AtenTensorHandle* per_sample_weights, int32_t include_last_offset,
                                             int64_t padding_idx, AtenTensorHandle* ret0, AtenTensorHandle* ret1,
                                             AtenTensorHandle* ret2, AtenTensorHandle* ret3) {
  return give_bags(__func__, /*forward_only=*/false, weight, indices, offsets, mode, per_sample_weights,
                   include_last_offset, padding_idx, ret0, ret1, ret2, ret3);
}

AOTITorchError aoti_torch_cpu__embedding_bag_forward_only(AtenTensorHandle weight, AtenTensorHandle indices,
                                                          AtenTensorHandle offsets, int32_t, int64_t mode, int32_t,
                                                          AtenTensorHandle* per_sample_weights,
                                                          int32_t include_last_offset, int64_t padding_idx,
                                                          AtenTensorHandle* ret0, AtenTensorHandle* ret1,
                                                          AtenTensorHandle* ret2, AtenTensorHandle* ret3) {
  return give_bags(__func__, /*forward_only=*/true, weight, indices, offsets, mode, per_sample_weights,
                   include_last_offset, padding_idx, ret0, ret1, ret2, ret3);
}
}
