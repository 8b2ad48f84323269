// Rows that are quantised to eight bits as they come, times weights of four bits. What torch has on this architecture
// is a reference: its packed weights are the bytes and the scales, one behind the other, as float32.
#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tensor/tensor.h"
#include "threads/parallel.h"

using namespace slim;

namespace {

Tensor pack(const Tensor& weights, const Tensor& scales, const Tensor* bias) {
  require(bias == nullptr, "packing four-bit weights with a bias is not known on this architecture");
  const Tensor out = empty({weights.numel() + scales.numel()}, ScalarType::Float);
  copy(narrow(out, 0, 0, weights.numel()), reshape(weights, {weights.numel()}));
  copy(narrow(out, 0, weights.numel(), scales.numel()), reshape(scales, {scales.numel()}));
  return out;
}

// A row in eight bits: a number q stands for (q - zero_point) * scale.
struct Row {
  std::vector<int32_t> less_zero_point;
  float scale;
};

void quantise(const float* from, int64_t depth, Row& row) {
  constexpr float kLow = -128;
  constexpr float kHigh = 127;
  float least = 0;
  float most = 0;
  for (int64_t k = 0; k < depth; ++k) {
    least = std::min(least, from[k]);
    most = std::max(most, from[k]);
  }
  const float scale = least == most ? 1.0F : (kHigh - kLow) / (most - least);
  row.scale = scale == 0 ? 0.0F : 1.0F / scale;
  const float from_least = kLow + least * scale;
  const float from_most = kHigh + most * scale;
  const float point = from_least + from_most > 0 ? kLow - least * scale : kHigh - most * scale;
  const auto zero_point = static_cast<int32_t>(std::lrint(point > kLow ? std::min(point, kHigh) : kLow));
  for (int64_t k = 0; k < depth; ++k) {
    // Kept in the range as a float: what is no number, or too large for an integer, must not be made one.
    const float number = std::round(from[k] * scale) + static_cast<float>(zero_point);
    const float kept = number > kLow ? std::min(number, kHigh) : kLow;
    row.less_zero_point[static_cast<size_t>(k)] = static_cast<int32_t>(kept) - zero_point;
  }
}

// x [rows, depth] in float32; weights [columns, depth] in four bits, two a number of `packed`, with a scale for each
// column (a group of the whole depth) or for each of its groups.
Tensor multiply(const Tensor& x, const Tensor& packed, int64_t group, int64_t depth, int64_t columns) {
  require(x.dtype == ScalarType::Float && x.dim() == 2 && x.sizes[1] == depth, "a four-bit product of ",
          dtype_name(x.dtype), " ", to_string(x.sizes), " by a depth of ", depth);
  require(group > 0 && depth % 2 == 0 && (group == depth || (group % 32 == 0 && depth % group == 0)), "groups of ",
          group, " for a depth of ", depth);
  const int64_t groups = depth / group;
  require(packed.dtype == ScalarType::Float && packed.numel() == columns * (depth / 2 + groups), packed.numel(),
          " packed numbers for ", columns, " columns of ", depth);
  const Tensor rows = contiguous(x);
  const Tensor all = contiguous(packed);
  const float* weights = all.data<float>();
  const float* scales = weights + columns * depth / 2;
  const Tensor out = empty({x.sizes[0], columns}, ScalarType::Float);
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(depth * columns, 1));
  parallel_for(0, x.sizes[0], grain, [&](int64_t begin, int64_t end) {
    Row row{std::vector<int32_t>(static_cast<size_t>(depth)), 0};
    for (int64_t i = begin; i < end; ++i) {
      quantise(rows.data<float>() + i * depth, depth, row);
      for (int64_t j = 0; j < columns; ++j) {
        float total = 0;
        for (int64_t g = 0; g < groups; ++g) {
          int32_t sum = 0;
          for (int64_t k = g * group; k < (g + 1) * group; k += 2) {
            const auto both = static_cast<int32_t>(weights[(j * depth + k) / 2]);
            sum += row.less_zero_point[static_cast<size_t>(k)] * ((both & 15) - 8);
            sum += row.less_zero_point[static_cast<size_t>(k + 1)] * ((both >> 4) - 8);
          }
          total += static_cast<float>(sum) * scales[j * groups + g];
        }
        out.data<float>()[i * columns + j] = total * row.scale;
      }
    }
  });
  return out;
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu__dyn_quant_pack_4bit_weight(AtenTensorHandle weights, AtenTensorHandle scales_zeros,
                                                          AtenTensorHandle* bias, int64_t /*block_size*/,
                                                          int64_t /*in_features*/, int64_t /*out_features*/,
                                                          AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(pack(get(weights), get(scales_zeros), get_optional(bias))); });
}

AOTITorchError aoti_torch_cpu__dyn_quant_matmul_4bit(AtenTensorHandle inp, AtenTensorHandle packed_weights,
                                                     int64_t block_size, int64_t in_features, int64_t out_features,
                                                     AtenTensorHandle* ret0) {
  return guard(__func__,
               [&] { *ret0 = give(multiply(get(inp), get(packed_weights), block_size, in_features, out_features)); });
}
}
