// Layers of bytes: x and weights in integers, each with a scale, summed exactly.
#pragma once

#include <cstdint>

#include "kernels/matrix/product.h"
#include "tensor/tensor.h"

namespace slim {

// One scale and one zero point: a byte q stands for (q - zero_point) * scale.
struct Quantisation {
  float scale = 1;
  int32_t zero_point = 0;
};

// As tensors of one number hold them.
Quantisation quantisation_of(const Tensor& scale, const Tensor& zero_point);

inline bool is_byte(ScalarType dtype) { return dtype == ScalarType::Byte || dtype == ScalarType::Char; }
inline matrix::Numbers bytes_of(const Tensor& x) {
  return x.dtype == ScalarType::Byte ? matrix::Numbers::kUint8 : matrix::Numbers::kInt8;
}

// Fails unless weights are quantised without zero points, by one scale or one a column.
void check_weights(const Tensor& scales, const Tensor& zero_points, int64_t columns);

// What an x that is 1 too large adds to each column: its weights' sum. Of panels of int8, one group's behind another's.
Storage column_sums(const void* panels, int64_t groups, int64_t columns, int64_t depth);

// `count` bytes, or numbers of another type, as floats.
void dequantise(const Tensor& from, int64_t begin, int64_t count, Quantisation q, float* to);

// The end of a layer of [rows, columns]: scales, bias and what is fused, into a dense tensor of any real dtype.
class LayerEnd {
 public:
  // `how` says what is fused, without places. `out` is [rows, columns] as it lies in memory.
  LayerEnd(Quantisation x, const Tensor& weight_scales, const Tensor* bias, int64_t columns,
           const matrix::Result& fused, const Tensor& out, Quantisation of_out);

  // For the columns from `column` on of the rows from `row` on.
  matrix::Quantised at(int64_t row, int64_t column, const int32_t* column_sums) const;
  // The same for sums that the zero point is not in.
  matrix::Quantised without_zero_point(int64_t row) const;

  // To be called once all is there.
  void finish() const;

 private:
  Tensor scales_;
  Tensor bias_;
  Tensor out_;
  Tensor floats_;  // where the wanted dtype is neither float32 nor bytes
  matrix::Quantised how_;
  int64_t columns_;
};

}  // namespace slim
