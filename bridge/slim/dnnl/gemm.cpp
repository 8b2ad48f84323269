#include "gemm.h"

#include "onednn.h"
#include "tensor/iterate.h"

namespace slim::onednn {
namespace {

// How a matrix lies in memory for BLAS: rows one behind the other, or columns.
struct Layout2d {
  char transposed;  // 'N': rows, 'T': columns
  int64_t leading;  // elements from one row (column) to the next
};

std::optional<Layout2d> blas_layout(const Tensor& matrix) {
  const int64_t rows = matrix.sizes[0];
  const int64_t columns = matrix.sizes[1];
  auto fits = [](int64_t stride, int64_t inner, int64_t step, int64_t count) {
    return (step == 1 || inner <= 1) && (stride >= std::max<int64_t>(inner, 1) || count <= 1);
  };
  if (fits(matrix.strides[0], columns, matrix.strides[1], rows)) {
    return Layout2d{'N', rows <= 1 ? std::max<int64_t>(columns, 1) : matrix.strides[0]};
  }
  if (fits(matrix.strides[1], rows, matrix.strides[0], columns)) {
    return Layout2d{'T', columns <= 1 ? std::max<int64_t>(rows, 1) : matrix.strides[1]};
  }
  return std::nullopt;
}

Tensor transposed(const Tensor& matrix) { return transpose(matrix, 0, 1); }

void sgemm(const Tensor& out, const Tensor& a, const Tensor& b, float beta, float alpha) {
  const auto out_layout = blas_layout(out);
  if (!out_layout) {
    Tensor dense = empty(out.sizes, out.dtype);
    if (beta != 0) copy(dense, out);
    sgemm(dense, a, b, beta, alpha);
    return copy(out, dense);
  }
  if (out_layout->transposed == 'T') return sgemm(transposed(out), transposed(b), transposed(a), beta, alpha);
  const auto a_layout = blas_layout(a);
  const auto b_layout = blas_layout(b);
  if (!a_layout) return sgemm(out, contiguous(a), b, beta, alpha);
  if (!b_layout) return sgemm(out, a, contiguous(b), beta, alpha);
  const dnnl_status_t status = dnnl_sgemm(a_layout->transposed, b_layout->transposed, out.sizes[0], out.sizes[1],
                                          a.sizes[1], alpha, a.data<float>(), a_layout->leading, b.data<float>(),
                                          b_layout->leading, beta, out.data<float>(), out_layout->leading);
  require(status == dnnl_success, "oneDNN's sgemm failed with status ", static_cast<int>(status));
}

// For dtypes that no library here multiplies. Row by row of b, so that memory is walked in order.
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

// oneDNN's product of two matrices of a half type, or false where this machine has none.
bool half_gemm(const Tensor& out, const Tensor& a, const Tensor& b) {
  struct Plan {
    dnnl::matmul primitive;
  };
  static Plans<Plan>& plans = *new Plans<Plan>;
  Key key;
  for (const Tensor* t : {&out, &a, &b}) key.add(t->sizes).add(t->strides);
  key.add(static_cast<int64_t>(out.dtype));
  const auto plan = plans.get(key, [&]() -> Plan {
    const auto description =
        dnnl::matmul::primitive_desc(engine(), desc_of(a), desc_of(b), desc_of(out), attributes(), true);
    if (!description || std::string_view(description.impl_info_str()).find("ref") != std::string_view::npos) return {};
    return {dnnl::matmul(description)};
  });
  if (!plan->primitive) return false;
  run(plan->primitive, {{DNNL_ARG_SRC, wrap(a)}, {DNNL_ARG_WEIGHTS, wrap(b)}, {DNNL_ARG_DST, wrap(out)}});
  return true;
}

void reduced_gemm(const Tensor& out, const Tensor& a, const Tensor& b, double beta, double alpha) {
  if (beta == 0 && alpha == 1 && half_gemm(out, a, b)) return;
  const Tensor wide = empty(out.sizes, ScalarType::Float);
  if (beta != 0) copy(wide, out);
  sgemm(wide, to(a, ScalarType::Float), to(b, ScalarType::Float), static_cast<float>(beta), static_cast<float>(alpha));
  copy(out, wide);
}

void scale(const Tensor& out, double beta) {
  if (beta == 0) return zero(out);
  if (beta == 1) return;
  visit_number(out.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    using Wide = Accumulate<T>;
    const auto factor = static_cast<Wide>(beta);
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
  if (out.dtype == ScalarType::Float) return sgemm(out, a, b, static_cast<float>(beta), static_cast<float>(alpha));
  if (out.dtype == ScalarType::Half || out.dtype == ScalarType::BFloat16) return reduced_gemm(out, a, b, beta, alpha);
  visit_number(out.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    if constexpr (!is_reduced_v<T>) {
      using Sum = Accumulate<T>;
      plain_gemm<T, Sum, T>(out, a, b, static_cast<Sum>(beta), static_cast<Sum>(alpha));
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
  if (batch < omp_get_max_threads()) {
    for (int64_t i = 0; i < batch; ++i) one(i);
    return;
  }
  parallel_for(0, batch, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) one(i);
  });
}

void int8_gemm(const Tensor& out, const Tensor& a, const Tensor& b) {
  require(out.dtype == ScalarType::Int && a.dtype == ScalarType::Char && b.dtype == ScalarType::Char,
          "an int8 product of ", dtype_name(a.dtype), " and ", dtype_name(b.dtype), " into ", dtype_name(out.dtype));
  require(out.dim() == 2 && a.dim() == 2 && b.dim() == 2 && a.sizes[1] == b.sizes[0] && out.sizes[0] == a.sizes[0] &&
              out.sizes[1] == b.sizes[1],
          "matrices of sizes ", to_string(a.sizes), " and ", to_string(b.sizes), " do not make one of ",
          to_string(out.sizes));
  plain_gemm<int8_t, int32_t, int32_t>(out, a, b, 0, 1);
}

}  // namespace slim::onednn
