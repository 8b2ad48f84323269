// Matrix products of strided matrices of any dtype.
#pragma once

#include "tensor/tensor.h"

namespace slim {

// out = beta * out + alpha * a @ b for matrices out [m, n], a [m, k], b [k, n], of one dtype and any strides. With beta
// 0 what `out` holds does not matter. `out` must not overlap the others.
void gemm(const Tensor& out, const Tensor& a, const Tensor& b, double beta, double alpha);

// The same for batches: out [batch, m, n], a [batch, m, k], b [batch, k, n].
void batched_gemm(const Tensor& out, const Tensor& a, const Tensor& b, double beta, double alpha);

// out[i, j] = sum of a[i, l] * b[l, j], int8 or uint8 times int8 into int32.
void int8_gemm(const Tensor& out, const Tensor& a, const Tensor& b);

}  // namespace slim
