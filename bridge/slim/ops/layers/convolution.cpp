// Convolutions as the shim has them.
#include "kernels/convolution.h"

#include <torch/csrc/inductor/aoti_torch/c/shim_cpu.h>
#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <utility>

#include "kernels/fused.h"
#include "tensor/lanes.h"

using namespace slim;

namespace {

Convolution geometry(Dims stride, Dims padding, Dims dilation, int64_t groups) {
  Convolution how;
  how.stride = std::move(stride);
  how.padding = std::move(padding);
  how.dilation = std::move(dilation);
  how.groups = groups;
  return how;
}

void add_binary(Convolution& how, const char* kind, const double* alpha, const Tensor& other) {
  require(alpha == nullptr || *alpha == 1, "a fused ", kind, " with a factor of ", alpha ? *alpha : 1);
  how.fused.binary = fused_binary(kind);
  how.other = &other;
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu_convolution(AtenTensorHandle input, AtenTensorHandle weight, AtenTensorHandle* bias,
                                          const int64_t* stride, int64_t stride_len_, const int64_t* padding,
                                          int64_t padding_len_, const int64_t* dilation, int64_t dilation_len_,
                                          int32_t transposed, const int64_t* output_padding,
                                          int64_t output_padding_len_, int64_t groups, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    Convolution how =
        geometry(list(stride, stride_len_), list(padding, padding_len_), list(dilation, dilation_len_), groups);
    how.output_padding = list(output_padding, output_padding_len_);
    how.transposed = transposed != 0;
    *ret0 = give(convolve(get(input), get(weight), get_optional(bias), std::move(how)));
  });
}

AOTITorchError aoti_torch_cpu_mkldnn__convolution_pointwise(
    AtenTensorHandle X, AtenTensorHandle W, AtenTensorHandle* B, const int64_t* padding, int64_t padding_len_,
    const int64_t* stride, int64_t stride_len_, const int64_t* dilation, int64_t dilation_len_, int64_t groups,
    const char* attr, const double** scalars, int64_t scalars_len_, const char** algorithm, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    Convolution how =
        geometry(list(stride, stride_len_), list(padding, padding_len_), list(dilation, dilation_len_), groups);
    fuse_unary(how.fused, attr, scalars, scalars_len_, algorithm);
    *ret0 = give(convolve(get(X), get(W), get_optional(B), std::move(how)));
  });
}

AOTITorchError aoti_torch_cpu_mkldnn__convolution_transpose_pointwise(
    AtenTensorHandle X, AtenTensorHandle W, AtenTensorHandle* B, const int64_t* padding, int64_t padding_len_,
    const int64_t* output_padding, int64_t output_padding_len_, const int64_t* stride, int64_t stride_len_,
    const int64_t* dilation, int64_t dilation_len_, int64_t groups, const char* attr, const double** scalars,
    int64_t scalars_len_, const char** algorithm, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    Convolution how =
        geometry(list(stride, stride_len_), list(padding, padding_len_), list(dilation, dilation_len_), groups);
    how.output_padding = list(output_padding, output_padding_len_);
    how.transposed = true;
    fuse_unary(how.fused, attr, scalars, scalars_len_, algorithm);
    *ret0 = give(convolve(get(X), get(W), get_optional(B), std::move(how)));
  });
}

AOTITorchError aoti_torch_cpu_mkldnn__convolution_pointwise_binary(
    AtenTensorHandle X, AtenTensorHandle other, AtenTensorHandle W, AtenTensorHandle* B, const int64_t* padding,
    int64_t padding_len_, const int64_t* stride, int64_t stride_len_, const int64_t* dilation, int64_t dilation_len_,
    int64_t groups, const char* binary_attr, double* alpha, const char** unary_attr, const double** unary_scalars,
    int64_t unary_scalars_len_, const char** unary_algorithm, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    Convolution how =
        geometry(list(stride, stride_len_), list(padding, padding_len_), list(dilation, dilation_len_), groups);
    add_binary(how, binary_attr, alpha, get(other));
    if (unary_attr) fuse_unary(how.fused, *unary_attr, unary_scalars, unary_scalars_len_, unary_algorithm);
    *ret0 = give(convolve(get(X), get(W), get_optional(B), std::move(how)));
  });
}

// The result replaces `other`, which is returned.
AOTITorchError aoti_torch_cpu_mkldnn__convolution_pointwise_binary_(
    AtenTensorHandle other, AtenTensorHandle X, AtenTensorHandle W, AtenTensorHandle* B, const int64_t* padding,
    int64_t padding_len_, const int64_t* stride, int64_t stride_len_, const int64_t* dilation, int64_t dilation_len_,
    int64_t groups, const char* binary_attr, double* alpha, const char** unary_attr, const double** unary_scalars,
    int64_t unary_scalars_len_, const char** unary_algorithm, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    const Tensor& x = get(X);
    const Tensor& sum = get(other);
    Convolution how =
        geometry(list(stride, stride_len_), list(padding, padding_len_), list(dilation, dilation_len_), groups);
    add_binary(how, binary_attr, alpha, sum);
    how.in_place = !(x.storage == sum.storage);  // what is written must not be read any more
    if (unary_attr) fuse_unary(how.fused, *unary_attr, unary_scalars, unary_scalars_len_, unary_algorithm);
    const bool in_place = how.in_place;
    const Tensor result = convolve(x, get(W), get_optional(B), std::move(how));
    if (!in_place) copy(sum, result);
    *ret0 = give(sum);
  });
}
}
