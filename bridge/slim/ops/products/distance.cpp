#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "tensor/iterate.h"
#include "tensor/lanes.h"

using namespace slim;

namespace {

// The p-norm of x - y, both of n contiguous numbers.
template <class T>
T distance(const T* x, const T* y, int64_t n, double p) {
  T sum = 0;
  if (p == 2) {
    for (int64_t i = 0; i < n; ++i) sum += (x[i] - y[i]) * (x[i] - y[i]);
    return std::sqrt(sum);
  }
  if (p == 1) {
    for (int64_t i = 0; i < n; ++i) sum += std::abs(x[i] - y[i]);
    return sum;
  }
  if (p == 0) {
    for (int64_t i = 0; i < n; ++i) sum += std::min(std::ceil(std::abs(x[i] - y[i])), T(1));  // NaN stays
    return sum;
  }
  if (std::isinf(p)) {
    for (int64_t i = 0; i < n; ++i) {
      const T d = std::abs(x[i] - y[i]);
      if (d > sum || is_nan(d)) sum = d;
    }
    return sum;
  }
  for (int64_t i = 0; i < n; ++i) sum += std::pow(std::abs(x[i] - y[i]), static_cast<T>(p));
  return std::pow(sum, static_cast<T>(1 / p));
}

void require_norm(const Tensor& self, double p) {
  require(self.dtype == ScalarType::Float || self.dtype == ScalarType::Double, "distances of ", dtype_name(self.dtype));
  require(p >= 0, "p of ", p, " is negative");
}

// [..., rows of x1, rows of x2]
Tensor cdist(const Tensor& x1, const Tensor& x2, double p) {
  require_norm(x1, p);
  require(x1.dtype == x2.dtype, "distances of ", dtype_name(x1.dtype), " and ", dtype_name(x2.dtype));
  require(x1.dim() >= 2 && x2.dim() >= 2 && x1.size(-1) == x2.size(-1), "distances of rows in shapes ",
          to_string(x1.sizes), " and ", to_string(x2.sizes));
  const int64_t rows1 = x1.size(-2);
  const int64_t rows2 = x2.size(-2);
  const int64_t width = x1.size(-1);
  const Dims batch = broadcast(Dims(x1.sizes.data(), x1.sizes.size() - 2), Dims(x2.sizes.data(), x2.sizes.size() - 2));
  auto shaped = [&](int64_t rows, int64_t columns) {
    Dims sizes = batch;
    sizes.push_back(rows);
    sizes.push_back(columns);
    return sizes;
  };
  const Tensor a = contiguous(expand(x1, shaped(rows1, width)));
  const Tensor b = contiguous(expand(x2, shaped(rows2, width)));
  Tensor out = empty(shaped(rows1, rows2), x1.dtype);
  visit_float_lane(x1.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    parallel_for(0, out.numel(), std::max<int64_t>(1, kGrain / (width + 1)), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t second = i / rows2 / rows1 * rows2 + i % rows2;
        out.data<T>()[i] = distance(a.data<T>() + i / rows2 * width, b.data<T>() + second * width, width, p);
      }
    });
  });
  return out;
}

// Of every row to every later one.
Tensor pdist(const Tensor& self, double p) {
  require_norm(self, p);
  require(self.dim() == 2, "distances within shape ", to_string(self.sizes), ", not of two dims");
  const int64_t rows = self.sizes[0];
  const int64_t width = self.sizes[1];
  const Tensor x = contiguous(self);
  Tensor out = empty({rows > 1 ? rows * (rows - 1) / 2 : 0}, self.dtype);
  visit_float_lane(self.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    T* to = out.data<T>();
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = i + 1; j < rows; ++j)
        *to++ = distance(x.data<T>() + i * width, x.data<T>() + j * width, width, p);
    }
  });
  return out;
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu__cdist_forward(AtenTensorHandle x1, AtenTensorHandle x2, double p, int64_t*,
                                             AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(cdist(get(x1), get(x2), p)); });
}

AOTITorchError aoti_torch_cpu__pdist_forward(AtenTensorHandle self, double p, AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(pdist(get(self), p)); });
}
}
