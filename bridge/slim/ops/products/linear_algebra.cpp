#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <algorithm>
#include <initializer_list>
#include <utility>
#include <vector>

#include "tensor/iterate.h"
#include "tensor/lanes.h"

using namespace slim;

namespace {

// Dense matrices, computed in double or complex double. Small ones are meant: these are plain loops, not LAPACK.

template <class T>
T conjugate(T x) {
  if constexpr (is_complex_v<T>) {
    return {x.real(), -x.imag()};
  } else {
    return x;
  }
}

void require_inexact(const Tensor& self) {
  require(self.dtype == ScalarType::Float || self.dtype == ScalarType::Double || is_complex(self.dtype), "matrices of ",
          dtype_name(self.dtype));
}

void require_square(const Tensor& self) {
  require(self.dim() >= 2 && self.size(-1) == self.size(-2), "shape ", to_string(self.sizes), " is no square matrix");
}

ScalarType wide(ScalarType dtype) { return is_complex(dtype) ? ScalarType::ComplexDouble : ScalarType::Double; }

template <class F>
void visit_wide(ScalarType dtype, const F& f) {
  if (is_complex(dtype)) {
    f(Type<Complex<double>>{});
  } else {
    f(Type<double>{});
  }
}

Dims batch_of(const Tensor& self) { return {self.sizes.data(), self.sizes.size() - 2}; }

Dims with_matrix(Dims batch, int64_t rows, int64_t columns) {
  batch.push_back(rows);
  batch.push_back(columns);
  return batch;
}

// A copy whose matrices lie column after column, as LAPACK and so torch leave them.
Tensor by_columns(const Tensor& self, ScalarType dtype) {
  const Tensor turned = slim::transpose(self, -1, -2);
  Tensor out = empty(turned.sizes, dtype);
  copy(out, turned);
  return slim::transpose(out, -1, -2);
}

// Batched matrices in the wide dtype, row after row, broadcast to `batch`.
Tensor widened(const Tensor& self, const Dims& batch) {
  const Tensor expanded = expand(self, with_matrix(batch, self.size(-2), self.size(-1)));
  Tensor out = empty(expanded.sizes, wide(self.dtype));
  copy(out, expanded);
  return out;
}

// How a triangular matrix is read: which half of it, turned over or not, with ones on the diagonal or not.
struct Triangle {
  bool upper;
  bool transposed;
  bool conjugated;
  bool unit;
};

// x = inverse(a) x in place; a is n x n, x n x columns, both row after row.
template <class T>
void solve(const T* a, T* x, int64_t n, int64_t columns, Triangle t) {
  const bool forward = t.upper == t.transposed;
  for (int64_t step = 0; step < n; ++step) {
    const int64_t i = forward ? step : n - 1 - step;
    T* row = x + i * columns;
    for (int64_t done = 0; done < step; ++done) {
      const int64_t k = forward ? done : n - 1 - done;
      T factor = t.transposed ? a[k * n + i] : a[i * n + k];
      if (t.conjugated) factor = conjugate(factor);
      for (int64_t j = 0; j < columns; ++j) row[j] -= factor * x[k * columns + j];
    }
    if (t.unit) continue;
    const T diagonal = t.conjugated ? conjugate(a[i * n + i]) : a[i * n + i];
    for (int64_t j = 0; j < columns; ++j) row[j] /= diagonal;
  }
}

// Solves by the triangles one after the other, over all matrices of the batch.
Tensor solve_all(const Tensor& a, const Tensor& b, std::initializer_list<Triangle> triangles) {
  require_inexact(a);
  require_square(a);
  require(a.dtype == b.dtype, "matrices of ", dtype_name(a.dtype), " and ", dtype_name(b.dtype));
  require(b.dim() >= 2 && b.size(-2) == a.size(-1), "shapes ", to_string(a.sizes), " and ", to_string(b.sizes),
          " do not go together");
  const Dims batch = broadcast(batch_of(a), batch_of(b));
  const Tensor matrices = widened(a, batch);
  const Tensor solutions = widened(b, batch);
  const int64_t n = a.size(-1);
  const int64_t columns = b.size(-1);
  visit_wide(a.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    for (int64_t i = 0; i < count(batch); ++i) {
      for (const Triangle& triangle : triangles) {
        solve(matrices.data<T>() + i * n * n, solutions.data<T>() + i * n * columns, n, columns, triangle);
      }
    }
  });
  return by_columns(solutions, b.dtype);
}

// A X = B for A = L L^H, or U^H U.
Tensor cholesky_solve(const Tensor& b, const Tensor& factor, bool upper) {
  const Triangle first{upper, upper, upper, false};
  const Triangle second{upper, !upper, !upper, false};
  return solve_all(factor, b, {first, second});
}

Tensor identity_like(const Tensor& self) {
  Tensor one = zeros(self.sizes, self.dtype);
  Tensor diagonal = one;
  diagonal.sizes.erase(diagonal.sizes.size() - 1);
  diagonal.strides.erase(diagonal.strides.size() - 1);
  diagonal.strides[diagonal.strides.size() - 1] += 1;
  fill(diagonal, 1);
  return one;
}

// P, L, U of what an LU factorisation left in one matrix; pivots count from 1. What is not asked for is empty.
void lu_unpack(const Tensor& lu, const Tensor& pivots, bool with_data, bool with_pivots, AtenTensorHandle* p,
               AtenTensorHandle* l, AtenTensorHandle* u) {
  require(lu.dim() >= 2, "shape ", to_string(lu.sizes), " is no matrix");
  const int64_t rows = lu.size(-2);
  const int64_t columns = lu.size(-1);
  const int64_t rank = std::min(rows, columns);
  Tensor permutation = empty({0}, lu.dtype);
  Tensor lower = empty({0}, lu.dtype);
  Tensor upper = empty({0}, lu.dtype);
  if (with_data) {
    auto part = [&](int64_t height, int64_t width, bool above) {
      Tensor source = narrow(narrow(lu, -2, 0, height), -1, 0, width);
      Tensor out = empty(source.sizes, lu.dtype);
      copy(out, source);
      for (int64_t i = 0; i < height; ++i) {
        const Tensor row = select(out, -2, i);
        const int64_t first = above ? 0 : i;
        const int64_t last = above ? std::min(i, width) : width;
        if (last > first) zero(narrow(row, -1, first, last - first));
        if (!above && i < width) fill(select(row, -1, i), 1);
      }
      return out;
    };
    lower = part(rows, rank, false);
    upper = part(rank, columns, true);
  }
  if (with_pivots) {
    require(pivots.dtype == ScalarType::Int, "pivots of ", dtype_name(pivots.dtype), ", not int32");
    Dims expected = batch_of(lu);
    expected.push_back(rank);
    require(pivots.sizes == expected, "pivots of shape ", to_string(pivots.sizes), ", not ", to_string(expected));
    const Tensor swaps = contiguous(pivots);
    Tensor matrix = zeros(with_matrix(batch_of(lu), rows, rows), ScalarType::Double);
    for (int64_t b = 0; b < count(batch_of(lu)); ++b) {
      std::vector<int64_t> order(static_cast<size_t>(rows));
      for (int64_t i = 0; i < rows; ++i) order[i] = i;
      for (int64_t i = 0; i < rank; ++i) {
        const int64_t with = swaps.data<int32_t>()[b * rank + i] - 1;
        require(with >= 0 && with < rows, "pivot ", with + 1, " of ", rows, " rows");
        std::swap(order[i], order[with]);
      }
      for (int64_t i = 0; i < rows; ++i) matrix.data<double>()[(b * rows + order[i]) * rows + i] = 1;
    }
    permutation = to(matrix, lu.dtype);
  }
  give_all({p, l, u}, std::move(permutation), std::move(lower), std::move(upper));
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu_triangular_solve(AtenTensorHandle self, AtenTensorHandle A, int32_t upper,
                                               int32_t transposed, int32_t unitriangular, AtenTensorHandle* ret0,
                                               AtenTensorHandle* ret1) {
  return guard(__func__, [&] {
    const Tensor& a = get(A);
    Tensor solution = solve_all(a, get(self), {{upper != 0, transposed != 0, false, unitriangular != 0}});
    const Dims batch = broadcast(batch_of(a), batch_of(get(self)));
    const Tensor triangle = expand(a, with_matrix(batch, a.size(-2), a.size(-1)));
    give_all({ret0, ret1}, std::move(solution), by_columns(triangle, a.dtype));
  });
}

AOTITorchError aoti_torch_cpu_cholesky_solve(AtenTensorHandle self, AtenTensorHandle input2, int32_t upper,
                                             AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(cholesky_solve(get(self), get(input2), upper != 0)); });
}

AOTITorchError aoti_torch_cpu_cholesky_inverse(AtenTensorHandle self, int32_t upper, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    require_square(get(self));
    *ret0 = give(cholesky_solve(identity_like(get(self)), get(self), upper != 0));
  });
}

AOTITorchError aoti_torch_cpu_lu_unpack(AtenTensorHandle LU_data, AtenTensorHandle LU_pivots, int32_t unpack_data,
                                        int32_t unpack_pivots, AtenTensorHandle* ret0, AtenTensorHandle* ret1,
                                        AtenTensorHandle* ret2) {
  return guard(__func__, [&] {
    lu_unpack(get(LU_data), get(LU_pivots), unpack_data != 0, unpack_pivots != 0, ret0, ret1, ret2);
  });
}
}
