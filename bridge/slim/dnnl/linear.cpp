// x @ W^T + b with a fused function, W packed or not.
#include <torch/csrc/inductor/aoti_torch/c/shim_cpu.h>

#include "gemm.h"
#include "onednn.h"
#include "tensor/iterate.h"

using namespace slim;
using namespace slim::onednn;

namespace {

struct Plan {
  memory::desc x;
  memory::desc weights;
  memory::desc out;
  dnnl::primitive primitive;
};

// A product whose rows were seen first decides the weights' layout; later ones, of other numbers of rows, take it as it
// is, so that a packed weight is not kept once for each.
struct First {
  memory::desc weights;
};

struct Fused {
  Unary unary;
  const char* binary = nullptr;
  const Tensor* other = nullptr;  // a matrix of the result's sizes, dense
};

dnnl::primitive_attr attributes_of(const Fused& fused, const memory::desc& out) {
  dnnl::post_ops ops;
  if (fused.binary != nullptr) append_binary(ops, fused.binary, out);
  append(ops, fused.unary);
  return onednn::attributes(ops);
}

Plan inner_product_plan(const Tensor& x, const memory::desc& weights, const memory::desc& bias, const Tensor& out,
                        const Fused& fused) {
  const auto kind = dnnl::prop_kind::forward_inference;
  auto as_matrix = [](const Tensor& rows) { return desc_of(rows.sizes, contiguous_strides(rows.sizes), rows.dtype); };
  const memory::desc from = as_matrix(x);
  const memory::desc to = as_matrix(out);
  const dnnl::primitive_attr attributes = attributes_of(fused, to);
  const auto description =
      bias ? dnnl::inner_product_forward::primitive_desc(engine(), kind, from, weights, bias, to, attributes)
           : dnnl::inner_product_forward::primitive_desc(engine(), kind, from, weights, to, attributes);
  return {from, description.weights_desc(), to, dnnl::inner_product_forward(description)};
}

// The layout of weights that a build writes for processors with AVX2 and no AVX-512 (packed_weights.py).
memory::desc interleaved(const Dims& sizes) {
  return {{sizes[0], sizes[1], 1, 1}, memory::data_type::f32, memory::format_tag::OIhw8i8o};
}

// The product as a convolution of one tap that walks over the rows: with AVX2, oneDNN 3.2 has a kernel for that which
// is faster than its inner product. Nothing where it has not.
std::optional<Plan> one_tap_plan(const Tensor& x, const memory::desc& weights, const memory::desc& bias,
                                 const Tensor& out, const Fused& fused) {
  if (dnnl::get_effective_cpu_isa() >= dnnl::cpu_isa::avx512_core) return std::nullopt;
  auto as_image = [](const Tensor& rows) {
    return desc_of(Dims{1, rows.sizes[1], 1, rows.sizes[0]}, Dims{rows.numel(), 1, rows.numel(), rows.sizes[1]},
                   rows.dtype);
  };
  const auto kind = dnnl::prop_kind::forward_inference;
  const auto algorithm = dnnl::algorithm::convolution_direct;
  const memory::desc from = as_image(x);
  const memory::desc to = as_image(out);
  const memory::dims one{1, 1};
  const memory::dims none{0, 0};
  const dnnl::primitive_attr attributes = attributes_of(fused, to);
  auto description = bias ? dnnl::convolution_forward::primitive_desc(engine(), kind, algorithm, from, weights, bias,
                                                                      to, one, none, none, none, attributes, true)
                          : dnnl::convolution_forward::primitive_desc(engine(), kind, algorithm, from, weights, to, one,
                                                                      none, none, none, attributes, true);
  if (!description || description.impl_info_str() != std::string_view("jit_1x1:avx2")) return std::nullopt;
  return Plan{from, weights, to, dnnl::convolution_forward(description)};
}

// x [rows, k], w [n, k], out [rows, n]; all but w dense.
void inner_product(const Tensor& x, const Tensor& w, const Tensor* bias, const Tensor& out, const Fused& fused) {
  static Plans<Plan>& plans = *new Plans<Plan>;
  static Plans<First>& firsts = *new Plans<First>;
  const Dims sizes = w.layout == Layout::kMkldnn ? packed_sizes(w) : w.sizes;
  require(sizes.size() == 2 && x.sizes[1] == sizes[1] && out.sizes[1] == sizes[0], "a linear layer of weights ",
          to_string(sizes), " on ", to_string(x.sizes));
  require(!fused.other || fused.other->dtype == out.dtype, "a linear layer of ", dtype_name(out.dtype), " fused with ",
          dtype_name(fused.other ? fused.other->dtype : out.dtype));
  const bool is_interleaved =
      w.layout == Layout::kMkldnn && x.dtype == ScalarType::Float && lies_as(w, interleaved(sizes));
  Key key;
  key.add(sizes)
      .add(w.layout == Layout::kMkldnn ? Dims() : w.strides)
      .add(static_cast<int64_t>(x.dtype))
      .add(static_cast<int64_t>(bias != nullptr))
      .add(static_cast<int64_t>(is_interleaved))
      .add(fused.unary);
  key.add(std::string(fused.binary ? fused.binary : ""));
  const memory::desc bias_desc = bias ? desc_of(*bias) : memory::desc();
  const Key first_key = key;
  key.add(x.sizes);
  const auto plan = plans.get(key, [&] {
    if (is_interleaved) {
      if (auto one_tap = one_tap_plan(x, interleaved(sizes), bias_desc, out, fused)) return *one_tap;
    }
    const auto first = firsts.get(first_key, [&]() -> First {
      const memory::desc given = w.layout == Layout::kMkldnn ? any_desc(sizes, w.dtype) : desc_of(w);
      return {inner_product_plan(x, given, bias_desc, out, fused).weights};
    });
    return inner_product_plan(x, first->weights, bias_desc, out, fused);
  });
  std::unordered_map<int, memory> arguments{{DNNL_ARG_SRC, wrap(plan->x, x.raw())},
                                            {DNNL_ARG_WEIGHTS, weights(w, plan->weights, plan->weights)},
                                            {DNNL_ARG_DST, wrap(plan->out, out.raw())}};
  if (bias) arguments.emplace(DNNL_ARG_BIAS, wrap(*bias));
  if (fused.other) {
    arguments.emplace(DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, wrap(plan->out, fused.other->raw()));
  }
  run(plan->primitive, arguments);
}

Tensor linear(const Tensor& x, const Tensor& w, const Tensor* bias, Fused fused) {
  require(x.dim() >= 1, "a linear layer on a tensor without dims");
  Dims shape = x.sizes;
  const int64_t k = shape.back();
  require(w.dim() == 2, "a linear layer of weights of ", w.dim(), " dims");
  shape[shape.size() - 1] = w.sizes[0];
  Tensor out = empty(shape, x.dtype);
  if (out.numel() == 0) return out;
  const int64_t rows = out.numel() / shape.back();
  const Tensor out_rows = reshape(out, {rows, shape.back()});
  Tensor other_rows;
  if (fused.other) {
    other_rows = contiguous(reshape(expand(*fused.other, shape), out_rows.sizes));
    fused.other = &other_rows;
  }
  if (w.layout == Layout::kStrided && !fused.binary && fused.unary.name == "none") {
    if (bias) copy(out_rows, *bias);
    gemm(out_rows, reshape(x, {rows, k}), transpose(w, 0, 1), bias ? 1 : 0, 1);
    return out;
  }
  const Tensor dense_bias = bias ? contiguous(*bias) : Tensor();
  inner_product(contiguous(reshape(x, {rows, k})), w, bias ? &dense_bias : nullptr, out_rows, fused);
  return out;
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu__linear_pointwise(AtenTensorHandle X, AtenTensorHandle W, AtenTensorHandle* B,
                                                const char* attr, const double** scalars, int64_t scalars_len_,
                                                const char** algorithm, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    *ret0 = give(linear(get(X), get(W), get_optional(B), {unary_of(attr, scalars, scalars_len_, algorithm)}));
  });
}

AOTITorchError aoti_torch_cpu__linear_pointwise_binary(AtenTensorHandle X, AtenTensorHandle other, AtenTensorHandle W,
                                                       AtenTensorHandle* B, const char* attr, AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(linear(get(X), get(W), get_optional(B), {{}, attr, &get(other)})); });
}

// W is packed as only MKL knows; the weight it was made of comes along.
AOTITorchError aoti_torch_cpu__mkl_linear(AtenTensorHandle X, AtenTensorHandle, AtenTensorHandle origin_W,
                                          AtenTensorHandle* B, int64_t, AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(linear(get(X), get(origin_W), get_optional(B), {})); });
}
}
