#include "kernels/quantised.h"

#include <type_traits>
#include <vector>

#include "tensor/iterate.h"

namespace slim {

Quantisation quantisation_of(const Tensor& scale, const Tensor& zero_point) {
  require(scale.numel() == 1 && zero_point.numel() == 1, "an input of ", scale.numel(), " scales and ",
          zero_point.numel(), " zero points");
  return {*to(scale, ScalarType::Float).data<float>(), *to(zero_point, ScalarType::Int).data<int32_t>()};
}

void check_weights(const Tensor& scales, const Tensor& zero_points, int64_t columns) {
  require(scales.numel() == 1 || scales.numel() == columns, scales.numel(), " scales for ", columns, " columns");
  const Tensor points = contiguous(to(zero_points, ScalarType::Int));
  for (int64_t i = 0; i < points.numel(); ++i)
    require(points.data<int32_t>()[i] == 0, "weights with a zero point of ", points.data<int32_t>()[i]);
}

Storage column_sums(const void* panels, int64_t groups, int64_t columns, int64_t depth) {
  constexpr auto kNumbers = matrix::Numbers::kUint8;
  Storage sums = Storage::allocate(static_cast<size_t>(groups * columns) * sizeof(int32_t));
  const std::vector<uint8_t> ones(static_cast<size_t>(depth), 1);
  const int64_t step = matrix::panel_bytes(kNumbers, columns, depth);
  for (int64_t group = 0; group < groups; ++group) {
    matrix::multiply(kNumbers, {ones.data(), depth, 1}, static_cast<const char*>(panels) + group * step,
                     {1, columns, depth}, static_cast<int32_t*>(sums.data()) + group * columns, columns);
  }
  return sums;
}

void dequantise(const Tensor& from, int64_t begin, int64_t count, Quantisation q, float* to) {
  visit_real(from.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    const T* numbers = from.data<T>() + begin;
    if constexpr (std::is_integral_v<T>) {
#pragma omp simd
      for (int64_t i = 0; i < count; ++i)
        to[i] = static_cast<float>(static_cast<int32_t>(numbers[i]) - q.zero_point) * q.scale;
    } else {
      for (int64_t i = 0; i < count; ++i) to[i] = static_cast<float>(numbers[i]);
    }
  });
}

LayerEnd::LayerEnd(Quantisation x, const Tensor& weight_scales, const Tensor* bias, int64_t columns,
                   const matrix::Result& fused, const Tensor& out, Quantisation of_out)
    : scales_(empty({columns}, ScalarType::Float)), out_(out), columns_(columns) {
  const Tensor given = contiguous(to(weight_scales, ScalarType::Float));
  for (int64_t j = 0; j < columns; ++j)
    scales_.data<float>()[j] = x.scale * given.data<float>()[given.numel() == 1 ? 0 : j];
  how_.scales = scales_.data<float>();
  how_.zero_point = x.zero_point;
  how_.result = fused;
  if (bias) {
    require(bias->numel() == columns, "a bias of ", bias->numel(), " for ", columns, " columns");
    bias_ = contiguous(to(*bias, ScalarType::Float));
    how_.result.bias = bias_.data<float>();
  }
  if (is_byte(out.dtype)) {
    how_.bytes = out.raw();
    how_.bytes_row_stride = columns;
    how_.is_signed = out.dtype == ScalarType::Char;
    how_.bytes_scale = of_out.scale;
    how_.bytes_zero_point = of_out.zero_point;
    return;
  }
  floats_ = out.dtype == ScalarType::Float ? out : empty_like(out, ScalarType::Float);
  how_.result.out = floats_.data<float>();
  how_.result.row_stride = columns;
}

matrix::Quantised LayerEnd::at(int64_t row, int64_t column, const int32_t* column_sums) const {
  matrix::Quantised how = how_;
  how.column_sums = column_sums;
  how.scales += column;
  if (how.result.bias != nullptr) how.result.bias += column;
  const int64_t place = row * columns_ + column;
  if (how.bytes != nullptr) {
    how.bytes = static_cast<char*>(how.bytes) + place;
  } else {
    how.result.out += place;
  }
  return how;
}

matrix::Quantised LayerEnd::without_zero_point(int64_t row) const {
  matrix::Quantised how = at(row, 0, nullptr);
  how.zero_point = 0;
  return how;
}

void LayerEnd::finish() const {
  if (floats_.defined() && out_.dtype != ScalarType::Float) copy(out_, floats_);
}

}  // namespace slim
