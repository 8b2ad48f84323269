// Products of matrices of eight-bit floats with a scale each.
#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>
#include <torch/headeronly/util/Float8_e4m3fn.h>
#include <torch/headeronly/util/Float8_e5m2.h>

#include <utility>

#include "kernels/gemm.h"
#include "tensor/iterate.h"
#include "threads/parallel.h"

using namespace slim;

namespace {

template <class Narrow>
Tensor widened_as(const Tensor& self, float scale) {
  float values[256];
  for (int bits = 0; bits < 256; ++bits) {
    Narrow number;
    number.x = static_cast<uint8_t>(bits);
    values[bits] = static_cast<float>(number) * scale;
  }
  const Tensor out = empty_like(self, ScalarType::Float);
  const bool same = out.strides == self.strides;
  const Tensor from = same ? self : contiguous(view_as(self, self.sizes, self.strides, self.offset));
  const Tensor to = same ? out : empty(self.sizes, ScalarType::Float);
  parallel_for(0, self.numel(), kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) to.data<float>()[i] = values[from.data<uint8_t>()[i]];
  });
  return to;
}

// One scale for all of a matrix, or one for each of its rows or columns: `scales` broadcasts.
Tensor widened(const Tensor& self, const Tensor& scale, const Dims& scales) {
  const bool is_one = scale.numel() == 1;
  require((is_one || scale.sizes == scales) && scale.dtype == ScalarType::Float, "a scaled product of ",
          to_string(self.sizes), " with scales of ", dtype_name(scale.dtype), " ", to_string(scale.sizes));
  require(self.dtype == ScalarType::Float8_e4m3fn || self.dtype == ScalarType::Float8_e5m2, "a scaled product of ",
          dtype_name(self.dtype));
  const float factor = is_one ? *scale.data<float>() : 1;
  const Tensor wide = self.dtype == ScalarType::Float8_e4m3fn ? widened_as<c10::Float8_e4m3fn>(self, factor)
                                                              : widened_as<c10::Float8_e5m2>(self, factor);
  if (!is_one) map<float, float, float>(wide, wide, scale, [](float a, float b) { return a * b; });
  return wide;
}

template <class Narrow>
void narrow_into(const Tensor& out, const Tensor& from, float scale) {
  for (int64_t i = 0; i < out.sizes[0]; ++i) {
    for (int64_t j = 0; j < out.sizes[1]; ++j)
      out.data<uint8_t>()[i * out.strides[0] + j * out.strides[1]] =
          Narrow(from.data<float>()[i * from.strides[0] + j * from.strides[1]] / scale).x;
  }
}

// What one of a result of eight bits stands for. Torch heeds it where that dtype was asked for, and nowhere else.
float scale_of(const Tensor* scale_result, const int32_t* out_dtype) {
  require(scale_result == nullptr || (scale_result->numel() == 1 && scale_result->dtype == ScalarType::Float),
          "the scale of a result must be one float32");
  const ScalarType asked = optional_dtype(out_dtype).value_or(ScalarType::Float);
  const bool narrows = asked == ScalarType::Float8_e4m3fn || asked == ScalarType::Float8_e5m2;
  return scale_result != nullptr && narrows ? *scale_result->data<float>() : 1;
}

void scaled_mm(const Tensor& out, const Tensor& a, const Tensor& b, const Tensor& scale_a, const Tensor& scale_b,
               const Tensor* bias, float scale) {
  require(a.dim() == 2 && b.dim() == 2 && a.sizes[1] == b.sizes[0] && out.sizes == Dims{a.sizes[0], b.sizes[1]},
          "matrices of sizes ", to_string(a.sizes), " and ", to_string(b.sizes), " do not make one of ",
          to_string(out.sizes));
  const Tensor sums = empty(out.sizes, ScalarType::Float);
  const bool added = bias != nullptr && sums.numel() > 0;
  if (added) copy(sums, expand(*bias, out.sizes));
  gemm(sums, widened(a, scale_a, {a.sizes[0], 1}), widened(b, scale_b, {1, b.sizes[1]}), added ? 1 : 0, 1);
  if (out.dtype == ScalarType::Float8_e4m3fn) return narrow_into<c10::Float8_e4m3fn>(out, sums, scale);
  if (out.dtype == ScalarType::Float8_e5m2) return narrow_into<c10::Float8_e5m2>(out, sums, scale);
  copy(out, sums);
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu__scaled_mm_out(AtenTensorHandle out, AtenTensorHandle self, AtenTensorHandle mat2,
                                             AtenTensorHandle scale_a, AtenTensorHandle scale_b, AtenTensorHandle* bias,
                                             AtenTensorHandle* scale_result, int32_t* out_dtype,
                                             int32_t /*use_fast_accum*/) {
  return guard(__func__, [&] {
    scaled_mm(get(out), get(self), get(mat2), get(scale_a), get(scale_b), get_optional(bias),
              scale_of(get_optional(scale_result), out_dtype));
  });
}

AOTITorchError aoti_torch_cpu__scaled_mm(AtenTensorHandle self, AtenTensorHandle mat2, AtenTensorHandle scale_a,
                                         AtenTensorHandle scale_b, AtenTensorHandle* bias,
                                         AtenTensorHandle* scale_result, int32_t* out_dtype, int32_t /*use_fast_accum*/,
                                         AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    const Tensor& a = get(self);
    const Tensor& b = get(mat2);
    require(a.dim() == 2 && b.dim() == 2, "a scaled product of ", a.dim(), " and ", b.dim(), " dims");
    Tensor out = empty({a.sizes[0], b.sizes[1]}, optional_dtype(out_dtype).value_or(a.dtype));
    scaled_mm(out, a, b, get(scale_a), get(scale_b), get_optional(bias),
              scale_of(get_optional(scale_result), out_dtype));
    *ret0 = give(std::move(out));
  });
}
}
