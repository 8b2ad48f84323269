// x @ W^T + b with a fused function, W packed or not.
#include <torch/csrc/inductor/aoti_torch/c/shim_cpu.h>

#include "gemm.h"
#include "iterate.h"
#include "onednn.h"

using namespace slim;
using namespace slim::onednn;

namespace {

struct Plan {
  dnnl::inner_product_forward::primitive_desc description;
  dnnl::inner_product_forward primitive;
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

Plan make_plan(const memory::desc& x, const memory::desc& w, const memory::desc& bias, const memory::desc& out,
               const Fused& fused) {
  dnnl::post_ops ops;
  if (fused.binary != nullptr) append_binary(ops, fused.binary, desc_of(*fused.other));
  append(ops, fused.unary);
  const dnnl::primitive_attr attributes = onednn::attributes(ops);
  const auto kind = dnnl::prop_kind::forward_inference;
  const auto description =
      bias ? dnnl::inner_product_forward::primitive_desc(engine(), kind, x, w, bias, out, attributes)
           : dnnl::inner_product_forward::primitive_desc(engine(), kind, x, w, out, attributes);
  return {description, dnnl::inner_product_forward(description)};
}

// x [rows, k], w [n, k], out [rows, n].
void inner_product(const Tensor& x, const Tensor& w, const Tensor* bias, const Tensor& out, const Fused& fused) {
  static Plans<Plan>& plans = *new Plans<Plan>;
  static Plans<First>& firsts = *new Plans<First>;
  const Dims sizes = w.layout == Layout::kMkldnn ? packed_sizes(w) : w.sizes;
  require(x.sizes[1] == sizes[1] && out.sizes[1] == sizes[0], "a linear layer of weights ", to_string(sizes), " on ",
          to_string(x.sizes));
  Key key;
  key.add(sizes)
      .add(w.layout == Layout::kMkldnn ? Dims() : w.strides)
      .add(static_cast<int64_t>(x.dtype))
      .add(static_cast<int64_t>(bias != nullptr))
      .add(fused.unary);
  key.add(std::string(fused.binary ? fused.binary : ""));
  const memory::desc bias_desc = bias ? desc_of(*bias) : memory::desc();
  const auto first = firsts.get(key, [&]() -> First {
    const memory::desc given = w.layout == Layout::kMkldnn ? any_desc(sizes, w.dtype) : desc_of(w);
    return {make_plan(desc_of(x), given, bias_desc, desc_of(out), fused).description.weights_desc()};
  });
  key.add(x.sizes).add(x.strides).add(out.strides);
  if (fused.other) key.add(fused.other->strides);
  const auto plan =
      plans.get(key, [&] { return make_plan(desc_of(x), first->weights, bias_desc, desc_of(out), fused); });
  std::unordered_map<int, memory> arguments{{DNNL_ARG_SRC, wrap(x)},
                                            {DNNL_ARG_WEIGHTS, weights(w, first->weights, first->weights)},
                                            {DNNL_ARG_DST, wrap(out)}};
  if (bias) arguments.emplace(DNNL_ARG_BIAS, wrap(*bias));
  if (fused.other) arguments.emplace(DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, wrap(*fused.other));
  run(plan->primitive, arguments);
}

Tensor linear(const Tensor& x, const Tensor& w, const Tensor* bias, Fused fused) {
  require(x.dim() >= 1, "a linear layer on a tensor without dims");
  Dims shape = x.sizes;
  const int64_t k = shape.back();
  shape[shape.size() - 1] = w.layout == Layout::kMkldnn ? packed_sizes(w)[0] : w.sizes[0];
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
