#include "kernels/gemm.h"

#include <algorithm>
#include <vector>

#include "kernels/matrix/product.h"
#include "kernels/panels.h"
#include "tensor/iterate.h"
#include "threads/parallel.h"

namespace slim {
namespace {

// a and b of float32 or bfloat16, or a of float32 and b of float16; out of float32, of neighbouring columns for the
// last.
void float_gemm(const Tensor& out, const Tensor& a, const Tensor& b, float beta, float alpha) {
  const int64_t rows = out.sizes[0];
  const int64_t columns = out.sizes[1];
  if (columns > 1 && out.strides[1] != 1) {
    auto turned = [](const Tensor& matrix) { return transpose(matrix, 0, 1); };
    if (rows <= 1 || out.strides[0] == 1) return float_gemm(turned(out), turned(b), turned(a), beta, alpha);
    const Tensor dense = empty(out.sizes, out.dtype);
    if (beta != 0) copy(dense, out);
    float_gemm(dense, a, b, beta, alpha);
    return copy(out, dense);
  }
  matrix::Result result;
  result.out = out.data<float>();
  result.row_stride = out.strides[0];
  result.scale = alpha;
  result.keep = beta;
  matrix::multiply(numbers_of(b), {a.raw(), a.strides[0], a.strides[1]},
                   matrix::Right{b.raw(), b.strides[0], b.strides[1]}, {rows, columns, a.sizes[1]}, result);
}

// For dtypes that no kernel here multiplies. Row by row of b, so that memory is walked in order.
template <class T, class Sum, class R>
void plain_gemm(const Tensor& out, const Tensor& a, const Tensor& b, Sum beta, Sum alpha) {
  const Tensor rows = contiguous(b);
  const int64_t m = out.sizes[0];
  const int64_t n = out.sizes[1];
  const int64_t k = a.sizes[1];
  const Strided<const T> a_all{static_cast<char*>(a.raw()), sizeof(T)};
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(n * k, 1));
  parallel_for(0, m, grain, [&](int64_t begin, int64_t end) {
    std::vector<Sum> sums(static_cast<size_t>(n));
    for (int64_t i = begin; i < end; ++i) {
      std::fill(sums.begin(), sums.end(), Sum(0));
      for (int64_t l = 0; l < k; ++l) {
        // NOLINTNEXTLINE(bugprone-signed-char-misuse,cert-str34-c): int8 is a number
        const auto factor = static_cast<Sum>(a_all[i * a.strides[0] + l * a.strides[1]]);
        const T* row = rows.data<T>() + l * n;
        for (int64_t j = 0; j < n; ++j) sums[static_cast<size_t>(j)] += factor * static_cast<Sum>(row[j]);
      }
      R* to = out.data<R>() + i * out.strides[0];
      for (int64_t j = 0; j < n; ++j) {
        R& element = to[j * out.strides[1]];
        const Sum product = alpha * sums[static_cast<size_t>(j)];
        element = static_cast<R>(beta == Sum(0) ? product : beta * static_cast<Sum>(element) + product);
      }
    }
  });
}

void reduced_gemm(const Tensor& out, const Tensor& a, const Tensor& b, double beta, double alpha) {
  const bool has_neighbours = out.strides[1] == 1 || out.sizes[1] <= 1;
  if (out.dtype == ScalarType::BFloat16 && beta == 0 && has_neighbours) {
    matrix::Bfloat16Result result;
    result.result.scale = static_cast<float>(alpha);
    result.out = out.raw();
    result.row_stride = out.strides[0];
    return matrix::multiply({a.raw(), a.strides[0], a.strides[1]}, matrix::Right{b.raw(), b.strides[0], b.strides[1]},
                            {out.sizes[0], out.sizes[1], a.sizes[1]}, result);
  }
  const Tensor wide = empty(out.sizes, ScalarType::Float);
  if (beta != 0) copy(wide, out);
  const Tensor left = a.dtype == ScalarType::Half ? to(a, ScalarType::Float) : a;
  float_gemm(wide, left, b, static_cast<float>(beta), static_cast<float>(alpha));
  copy(out, wide);
}

void scale(const Tensor& out, double beta) {
  if (beta == 0) return zero(out);
  if (beta == 1) return;
  visit_number(out.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    using Wide = Accumulate<T>;
    const auto factor = number_as<Wide>(beta);
    map<T, T>(out, out, [=](T value) { return static_cast<T>(static_cast<Wide>(value) * factor); });
  });
}

}  // namespace

void gemm(const Tensor& out, const Tensor& a, const Tensor& b, double beta, double alpha) {
  require(out.dim() == 2 && a.dim() == 2 && b.dim() == 2, "a matrix product of ", a.dim(), ", ", b.dim(), " and ",
          out.dim(), " dims");
  require(a.sizes[1] == b.sizes[0] && out.sizes[0] == a.sizes[0] && out.sizes[1] == b.sizes[1], "matrices of sizes ",
          to_string(a.sizes), " and ", to_string(b.sizes), " do not make one of ", to_string(out.sizes));
  require(a.dtype == b.dtype && a.dtype == out.dtype, "a matrix product of ", dtype_name(a.dtype), " and ",
          dtype_name(b.dtype), " into ", dtype_name(out.dtype));
  if (out.numel() == 0) return;
  if (a.sizes[1] == 0 || alpha == 0) return scale(out, beta);
  if (out.dtype == ScalarType::Float) return float_gemm(out, a, b, static_cast<float>(beta), static_cast<float>(alpha));
  if (out.dtype == ScalarType::Half || out.dtype == ScalarType::BFloat16) return reduced_gemm(out, a, b, beta, alpha);
  visit_number(out.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    if constexpr (!is_reduced_v<T>) {
      using Sum = Accumulate<T>;
      plain_gemm<T, Sum, T>(out, a, b, number_as<Sum>(beta), number_as<Sum>(alpha));
    }
  });
}

void batched_gemm(const Tensor& out, const Tensor& a, const Tensor& b, double beta, double alpha) {
  require(out.dim() == 3 && a.dim() == 3 && b.dim() == 3, "a batched product of ", a.dim(), ", ", b.dim(), " and ",
          out.dim(), " dims");
  require(a.sizes[0] == out.sizes[0] && b.sizes[0] == out.sizes[0], "batches of ", a.sizes[0], " and ", b.sizes[0],
          " matrices do not make one of ", out.sizes[0]);
  const int64_t batch = out.sizes[0];
  auto one = [&](int64_t i) { gemm(select(out, 0, i), select(a, 0, i), select(b, 0, i), beta, alpha); };
  // Many products run beside each other, each on one thread; a few share the threads among themselves.
  if (batch < aot_slim_threads()) {
    for (int64_t i = 0; i < batch; ++i) one(i);
    return;
  }
  parallel_for(0, batch, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) one(i);
  });
}

void int8_gemm(const Tensor& out, const Tensor& a, const Tensor& b) {
  const bool is_unsigned = a.dtype == ScalarType::Byte;
  require(out.dtype == ScalarType::Int && (is_unsigned || a.dtype == ScalarType::Char) && b.dtype == ScalarType::Char,
          "an int8 product of ", dtype_name(a.dtype), " and ", dtype_name(b.dtype), " into ", dtype_name(out.dtype));
  require(out.dim() == 2 && a.dim() == 2 && b.dim() == 2 && a.sizes[1] == b.sizes[0] && out.sizes[0] == a.sizes[0] &&
              out.sizes[1] == b.sizes[1],
          "matrices of sizes ", to_string(a.sizes), " and ", to_string(b.sizes), " do not make one of ",
          to_string(out.sizes));
  if (out.numel() == 0) return;
  const bool dense = out.strides[1] == 1 || out.sizes[1] <= 1;
  const Tensor result = dense ? out : empty(out.sizes, out.dtype);
  matrix::multiply(is_unsigned ? matrix::Numbers::kUint8 : matrix::Numbers::kInt8,
                   {a.raw(), a.strides[0], a.strides[1]}, {b.raw(), b.strides[0], b.strides[1]},
                   {out.sizes[0], out.sizes[1], a.sizes[1]}, result.data<int32_t>(), result.strides[0]);
  if (!dense) copy(out, result);
}

}  // namespace slim
