// Linear layers of bytes: x and weights in integers, each with a scale, summed exactly.
#include <torch/csrc/inductor/aoti_torch/c/shim_cpu.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

#include "kernels/fused.h"
#include "tensor/iterate.h"
#include "tensor/packed.h"

using namespace slim;

namespace {

// Weights [depth, columns] as the kernels want them.
struct Weights {
  const void* panels;
  const int32_t* sums;  // of each column: what an x that is 1 too large adds to it
};

Weights weights_of(const Tensor& w, int64_t columns, int64_t depth) {
  const auto kind = matrix::Numbers::kUint8;
  const auto bytes = static_cast<size_t>(matrix::panel_bytes(kind, columns, depth));
  Opaque& opaque = *w.opaque;
  const std::lock_guard<std::mutex> lock(opaque.mutex);
  if (!opaque.panels) {
    const Tensor plain = unpacked(w);
    Storage made = Storage::allocate(bytes + static_cast<size_t>(columns) * sizeof(int32_t));
    matrix::pack_panels(kind, {plain.raw(), columns, 1}, columns, depth, made.data());
    const std::vector<uint8_t> ones(static_cast<size_t>(depth), 1);
    auto* sums = reinterpret_cast<int32_t*>(static_cast<char*>(made.data()) + bytes);
    matrix::multiply(kind, {ones.data(), depth, 1}, static_cast<const void*>(made.data()), {1, columns, depth}, sums,
                     columns);
    opaque.panels = std::move(made);
  }
  auto* data = static_cast<char*>(opaque.panels.data());
  return {data, reinterpret_cast<const int32_t*>(data + bytes)};
}

struct Quantisation {
  float scale;
  int32_t zero_point;
};

// One scale and one zero point, as tensors hold them.
Quantisation quantisation_of(const Tensor& scale, const Tensor& zero_point) {
  require(scale.numel() == 1 && zero_point.numel() == 1, "an input of ", scale.numel(), " scales and ",
          zero_point.numel(), " zero points");
  return {*to(scale, ScalarType::Float).data<float>(), *to(zero_point, ScalarType::Int).data<int32_t>()};
}

template <class T>
void quantise(const Tensor& from, const Tensor& out, Quantisation q) {
  const float low = std::numeric_limits<T>::min();
  const float high = std::numeric_limits<T>::max();
  map<T, float>(out, from, [=](float x) {
    const float rounded = std::nearbyint(x / q.scale + static_cast<float>(q.zero_point));
    return static_cast<T>(rounded >= low ? std::min(rounded, high) : low);  // NaN: low
  });
}

template <class T>
void dequantise(const Tensor& from, const Tensor& out, Quantisation q) {
  map<float, T>(out, from, [=](T x) { return static_cast<float>(static_cast<int32_t>(x) - q.zero_point) * q.scale; });
}

// How a layer ends, beside what `Result` says.
struct Ending {
  ScalarType dtype;
  Quantisation quantisation;  // of a result of bytes
};

// [rows, columns] in float32: scale * (sum - zero point * column's sum) + bias, and what is fused.
Tensor layer(const Tensor& x, Quantisation in, const Tensor& w, const Tensor& weight_scales, const Tensor* bias,
             matrix::Result how) {
  const int64_t depth = x.sizes[1];
  const int64_t columns = w.sizes[1];
  const auto kind = x.dtype == ScalarType::Byte ? matrix::Numbers::kUint8 : matrix::Numbers::kInt8;
  if (x.sizes[0] == 0 || columns == 0) return empty({x.sizes[0], columns}, ScalarType::Float);
  const Weights weights = weights_of(w, columns, depth);
  const Tensor sums = empty({x.sizes[0], columns}, ScalarType::Int);
  matrix::multiply(kind, {x.raw(), depth, 1}, weights.panels, {x.sizes[0], columns, depth}, sums.data<int32_t>(),
                   columns);
  const Tensor scales = contiguous(expand(to(weight_scales, ScalarType::Float), {columns}));
  const Tensor added = bias ? contiguous(to(*bias, ScalarType::Float)) : Tensor();
  const Tensor out = empty(sums.sizes, ScalarType::Float);
  how.out = out.data<float>();
  how.row_stride = columns;
  if (bias) how.bias = added.data<float>();
  const auto padded = static_cast<size_t>((columns + matrix::kPanel - 1) / matrix::kPanel * matrix::kPanel);
  parallel_for(0, x.sizes[0], std::max<int64_t>(1, kGrain / columns), [&](int64_t begin, int64_t end) {
    std::vector<float> row(padded);
    for (int64_t i = begin; i < end; ++i) {
      const int32_t* from = sums.data<int32_t>() + i * columns;
      const float* scale = scales.data<float>();
#pragma omp simd
      for (int64_t j = 0; j < columns; ++j) {
        // Wraps around as the sums do.
        const uint32_t excess = static_cast<uint32_t>(in.zero_point) * static_cast<uint32_t>(weights.sums[j]);
        const auto sum = static_cast<int32_t>(static_cast<uint32_t>(from[j]) - excess);
        row[static_cast<size_t>(j)] = static_cast<float>(sum) * (in.scale * scale[j]);
      }
      matrix::finish(row.data(), i, columns, how);
    }
  });
  return out;
}

Tensor as_wanted(const Tensor& result, const Dims& shape, const Ending& ending) {
  const Tensor out = empty(shape, ending.dtype);
  const Tensor rows = reshape(out, result.sizes);
  if (ending.dtype == ScalarType::Byte) {
    quantise<uint8_t>(result, rows, ending.quantisation);
  } else if (ending.dtype == ScalarType::Char) {
    quantise<int8_t>(result, rows, ending.quantisation);
  } else {
    copy(rows, result);
  }
  return out;
}

struct Layer {
  Tensor x;  // [rows, depth], dense
  Dims shape;
};

Layer checked(const Tensor& x, const Tensor& w, const Tensor& weight_scales, const Tensor& weight_zero_points) {
  require(x.dtype == ScalarType::Byte || x.dtype == ScalarType::Char, "a quantised layer on ", dtype_name(x.dtype));
  require(w.layout == Layout::kMkldnn && w.dtype == ScalarType::Char && w.dim() == 2 && x.dim() >= 1 &&
              packed_sizes(w) == w.sizes && x.sizes.back() == w.sizes[0],
          "a quantised layer of weights ", to_string(w.sizes), " on ", to_string(x.sizes));
  require(weight_scales.numel() == 1 || weight_scales.numel() == w.sizes[1], weight_scales.numel(), " scales for ",
          w.sizes[1], " columns");
  const Tensor points = contiguous(to(weight_zero_points, ScalarType::Int));
  for (int64_t i = 0; i < points.numel(); ++i)
    require(points.data<int32_t>()[i] == 0, "weights with a zero point of ", points.data<int32_t>()[i]);
  Dims shape = x.sizes;
  shape[shape.size() - 1] = w.sizes[1];
  const int64_t rows = x.numel() / std::max<int64_t>(w.sizes[0], 1);
  return {contiguous(reshape(x, {rows, w.sizes[0]})), shape};
}

Tensor as_vector(const Tensor& self) { return reshape(self, {self.numel()}); }

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu__qlinear_pointwise_tensor(
    AtenTensorHandle X, AtenTensorHandle act_scale, AtenTensorHandle act_zero_point, AtenTensorHandle onednn_weight,
    AtenTensorHandle weight_scales, AtenTensorHandle weight_zero_points, AtenTensorHandle* B, double output_scale,
    int64_t output_zero_point, const int32_t* output_dtype, const char* post_op_name, const double** post_op_args,
    int64_t post_op_args_len_, const char* post_op_algorithm, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    const Tensor& w = get(onednn_weight);
    const Layer given = checked(get(X), w, get(weight_scales), get(weight_zero_points));
    matrix::Result how;
    fuse_unary(how, post_op_name, post_op_args, post_op_args_len_, &post_op_algorithm);
    const Tensor result = layer(given.x, quantisation_of(get(act_scale), get(act_zero_point)), w,
                                as_vector(get(weight_scales)), get_optional(B), how);
    *ret0 = give(as_wanted(result, given.shape,
                           {optional_dtype(output_dtype).value_or(given.x.dtype),
                            {static_cast<float>(output_scale), static_cast<int32_t>(output_zero_point)}}));
  });
}

// "add": another matrix of floating point numbers is added. "sum": the result replaces what it is added to.
AOTITorchError aoti_torch_cpu__qlinear_pointwise_binary_tensor(
    AtenTensorHandle X, AtenTensorHandle act_scale, AtenTensorHandle act_zero_point, AtenTensorHandle onednn_weight,
    AtenTensorHandle weight_scales, AtenTensorHandle weight_zero_points, AtenTensorHandle* other, AtenTensorHandle* B,
    double output_scale, int64_t output_zero_point, const int32_t* output_dtype, double other_scale,
    int64_t other_zero_point, const char* binary_post_op, double binary_alpha, const char* unary_post_op,
    const double** unary_post_op_args, int64_t unary_post_op_args_len_, const char* unary_post_op_algorithm,
    AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    const std::string_view kind = binary_post_op == nullptr ? "none" : binary_post_op;
    const Tensor* second = get_optional(other);
    require((kind == "add" || kind == "sum") && second != nullptr && binary_alpha == 1, "a quantised layer fused with ",
            kind, " of factor ", binary_alpha);
    const Tensor& w = get(onednn_weight);
    const Layer given = checked(get(X), w, get(weight_scales), get(weight_zero_points));
    const ScalarType dtype = optional_dtype(output_dtype).value_or(given.x.dtype);
    require(kind == "add" || (second->sizes == given.shape && second->dtype == dtype), "a quantised layer added to ",
            dtype_name(second->dtype), " ", to_string(second->sizes), " makes ", dtype_name(dtype), " ",
            to_string(given.shape));
    const Dims sizes{given.x.sizes[0], w.sizes[1]};
    const Tensor rows = contiguous(reshape(expand(*second, given.shape), sizes));
    Tensor added = rows.dtype == ScalarType::Float ? rows : empty(sizes, ScalarType::Float);
    const Quantisation q{static_cast<float>(other_scale), static_cast<int32_t>(other_zero_point)};
    if (rows.dtype == ScalarType::Byte) {
      dequantise<uint8_t>(rows, added, q);
    } else if (rows.dtype == ScalarType::Char) {
      dequantise<int8_t>(rows, added, q);
    } else if (rows.dtype != ScalarType::Float) {
      copy(added, rows);
    }
    matrix::Result how;
    fuse_unary(how, unary_post_op, unary_post_op_args, unary_post_op_args_len_, &unary_post_op_algorithm);
    how.binary = matrix::Binary::kAdd;
    how.other = added.data<float>();
    how.other_row_stride = sizes[1];
    const Tensor result = layer(given.x, quantisation_of(get(act_scale), get(act_zero_point)), w,
                                as_vector(get(weight_scales)), get_optional(B), how);
    Tensor out = as_wanted(result, given.shape,
                           {dtype, {static_cast<float>(output_scale), static_cast<int32_t>(output_zero_point)}});
    if (kind == "sum") {
      copy(*second, out);
      out = *second;
    }
    *ret0 = give(std::move(out));
  });
}
}
