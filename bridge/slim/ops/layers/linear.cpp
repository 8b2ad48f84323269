// x @ W^T + b with a fused function, W packed or not.
#include <torch/csrc/inductor/aoti_torch/c/shim_cpu.h>

#include "kernels/fused.h"
#include "kernels/panels.h"
#include "tensor/iterate.h"
#include "tensor/packed.h"

using namespace slim;

namespace {

// Rows of neighbouring numbers.
Tensor rows_of(const Tensor& self, const Dims& sizes, ScalarType dtype) {
  return contiguous(to(reshape(self, sizes), dtype));
}

// Of bfloat16: neither the result nor what is added to it passes through memory in float32.
void linear_of_halves(const Tensor& left, const Tensor& w, const Tensor* other, const Dims& shape,
                      const matrix::Result& how, const Tensor& out) {
  const matrix::Sizes all{left.sizes[0], w.sizes[0], w.sizes[1]};
  const Tensor second = other ? rows_of(expand(*other, shape), {all.rows, all.columns}, left.dtype) : Tensor();
  const matrix::Bfloat16Result result{how, out.raw(), all.columns, other ? second.raw() : nullptr, all.columns};
  const matrix::Left rows{left.raw(), all.depth, 1};
  if (w.layout == Layout::kMkldnn) {
    matrix::multiply(rows, panels_of(w, all.columns, all.depth), all, result);
  } else {
    matrix::multiply(rows, {w.raw(), w.strides[1], w.strides[0]}, all, result);
  }
}

// Fills in where the result goes and what the sums are of; `how` says what is fused.
Tensor linear(const Tensor& x, const Tensor& w, const Tensor* bias, const Tensor* other, matrix::Result how) {
  require(x.dim() >= 1, "a linear layer on a tensor without dims");
  require(w.dim() == 2 && w.sizes[1] == x.sizes.back(), "a linear layer of weights ", to_string(w.sizes), " on ",
          to_string(x.sizes));
  require(w.dtype == x.dtype && (other == nullptr || other->dtype == x.dtype) &&
              (x.dtype == ScalarType::Float || x.dtype == ScalarType::BFloat16 || x.dtype == ScalarType::Half),
          "a linear layer of ", dtype_name(x.dtype), " with weights of ", dtype_name(w.dtype));
  const int64_t columns = w.sizes[0];
  const int64_t depth = w.sizes[1];
  Dims shape = x.sizes;
  shape[shape.size() - 1] = columns;
  Tensor out = empty(shape, x.dtype);
  if (out.numel() == 0) return out;
  const Dims sizes{out.numel() / columns, columns};
  const Tensor added = bias ? rows_of(*bias, {columns}, ScalarType::Float) : Tensor();
  if (bias) how.bias = added.data<float>();
  if (x.dtype == ScalarType::BFloat16) {
    linear_of_halves(rows_of(x, {sizes[0], depth}, x.dtype), w, other, shape, how, out);
    return out;
  }
  const Tensor result = x.dtype == ScalarType::Float ? out : empty(sizes, ScalarType::Float);
  const Tensor left = rows_of(x, {sizes[0], depth}, ScalarType::Float);
  const Tensor second = other ? rows_of(expand(*other, shape), sizes, ScalarType::Float) : Tensor();
  how.out = result.data<float>();
  how.row_stride = columns;
  if (other) {
    how.other = second.data<float>();
    how.other_row_stride = columns;
  }
  const matrix::Left rows{left.raw(), depth, 1};
  const matrix::Sizes all{sizes[0], columns, depth};
  const matrix::Numbers numbers = numbers_of(w);
  if (w.layout == Layout::kMkldnn) {
    matrix::multiply(numbers, rows, panels_of(w, columns, depth), all, how);
  } else {
    matrix::multiply(numbers, rows, {w.raw(), w.strides[1], w.strides[0]}, all, how);
  }
  if (x.dtype != ScalarType::Float) copy(reshape(out, sizes), result);
  return out;
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu__linear_pointwise(AtenTensorHandle X, AtenTensorHandle W, AtenTensorHandle* B,
                                                const char* attr, const double** scalars, int64_t scalars_len_,
                                                const char** algorithm, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    matrix::Result how;
    fuse_unary(how, attr, scalars, scalars_len_, algorithm);
    *ret0 = give(linear(get(X), get(W), get_optional(B), nullptr, how));
  });
}

AOTITorchError aoti_torch_cpu__linear_pointwise_binary(AtenTensorHandle X, AtenTensorHandle other, AtenTensorHandle W,
                                                       AtenTensorHandle* B, const char* attr, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    matrix::Result how;
    how.binary = fused_binary(attr);
    *ret0 = give(linear(get(X), get(W), get_optional(B), &get(other), how));
  });
}

// W is packed as only MKL knows; the weight it was made of comes along.
AOTITorchError aoti_torch_cpu__mkl_linear(AtenTensorHandle X, AtenTensorHandle, AtenTensorHandle origin_W,
                                          AtenTensorHandle* B, int64_t, AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(linear(get(X), get(origin_W), get_optional(B), nullptr, {})); });
}
}
