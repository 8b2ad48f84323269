// Linear layers of bytes.
#include <torch/csrc/inductor/aoti_torch/c/shim_cpu.h>

#include <algorithm>
#include <functional>
#include <mutex>
#include <numeric>
#include <string_view>
#include <utility>

#include "kernels/fused.h"
#include "kernels/panels.h"
#include "kernels/quantised.h"
#include "tensor/packed.h"
#include "threads/parallel.h"

using namespace slim;

namespace {

// Weights [depth, columns] as the kernels want them.
struct Weights {
  const void* panels;
  const int32_t* sums;
};

Weights weights_of(const Tensor& w, int64_t columns, int64_t depth) {
  Opaque& opaque = *w.opaque;
  const std::lock_guard<std::mutex> lock(opaque.mutex);
  if (!opaque.sums) {
    Storage made;
    if (!lies_in_panels(w, {depth, columns}, 1, 0)) {
      constexpr auto kNumbers = matrix::Numbers::kUint8;
      const Tensor plain = unpacked(w);
      made = Storage::allocate(static_cast<size_t>(matrix::panel_bytes(kNumbers, columns, depth)));
      matrix::pack_panels(kNumbers, {plain.raw(), columns, 1}, columns, depth, made.data());
    }
    opaque.sums = column_sums(made ? made.data() : w.raw(), 1, columns, depth);
    opaque.panels = std::move(made);
  }
  return {opaque.panels ? opaque.panels.data() : w.raw(), static_cast<const int32_t*>(opaque.sums.data())};
}

struct Layer {
  Tensor x;  // [rows, depth], dense
  Dims shape;
};

Layer checked(const Tensor& x, const Tensor& w, const Tensor& weight_scales, const Tensor& weight_zero_points) {
  require(is_byte(x.dtype), "a quantised layer on ", dtype_name(x.dtype));
  require(w.layout == Layout::kMkldnn && w.dtype == ScalarType::Char && w.dim() == 2 && x.dim() >= 1 &&
              packed_sizes(w) == w.sizes && x.sizes.back() == w.sizes[0],
          "a quantised layer of weights ", to_string(w.sizes), " on ", to_string(x.sizes));
  check_weights(weight_scales, weight_zero_points, w.sizes[1]);
  Dims shape = x.sizes;
  shape[shape.size() - 1] = w.sizes[1];
  const int64_t rows = std::accumulate(shape.begin(), shape.end() - 1, int64_t{1}, std::multiplies<>());
  return {contiguous(reshape(x, {rows, w.sizes[0]})), shape};
}

void multiply(const Layer& layer, const Tensor& w, const LayerEnd& end) {
  const int64_t columns = w.sizes[1];
  const int64_t depth = w.sizes[0];
  if (layer.x.sizes[0] > 0 && columns > 0) {
    const Weights weights = weights_of(w, columns, depth);
    matrix::multiply(bytes_of(layer.x), {layer.x.raw(), depth, 1}, weights.panels, {layer.x.sizes[0], columns, depth},
                     end.at(0, 0, weights.sums));
  }
  end.finish();
}

Quantisation as_quantisation(double scale, int64_t zero_point) {
  return {static_cast<float>(scale), static_cast<int32_t>(zero_point)};
}

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
    Tensor out = empty(given.shape, optional_dtype(output_dtype).value_or(given.x.dtype));
    multiply(given, w,
             LayerEnd(quantisation_of(get(act_scale), get(act_zero_point)), get(weight_scales), get_optional(B),
                      w.sizes[1], how, out, as_quantisation(output_scale, output_zero_point)));
    *ret0 = give(std::move(out));
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
    const bool as_is = rows.dtype == ScalarType::Float && kind == "add";
    const Tensor added = as_is ? rows : empty(sizes, ScalarType::Float);
    const Quantisation of_other = as_quantisation(other_scale, other_zero_point);
    if (!as_is) dequantise(rows, 0, rows.numel(), of_other, added.data<float>());
    matrix::Result how;
    fuse_unary(how, unary_post_op, unary_post_op_args, unary_post_op_args_len_, &unary_post_op_algorithm);
    how.binary = matrix::Binary::kAdd;
    how.other = added.data<float>();
    how.other_row_stride = sizes[1];
    Tensor out = empty(given.shape, dtype);
    multiply(given, w,
             LayerEnd(quantisation_of(get(act_scale), get(act_zero_point)), get(weight_scales), get_optional(B),
                      w.sizes[1], how, out, as_quantisation(output_scale, output_zero_point)));
    if (kind == "sum") {
      copy(*second, out);
      out = *second;
    }
    *ret0 = give(std::move(out));
  });
}
}
