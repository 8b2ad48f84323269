#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <type_traits>

#include "tensor/iterate.h"
#include "tensor/lanes.h"

using namespace slim;

namespace {

// Sums of floats are kept in double, as in torch.
template <class T>
using Sum = std::conditional_t<std::is_same_v<T, float>, double, T>;

// out[i] = total = combine(total, self[i]) along dim. Both of type T; `out` contiguous.
template <class T, class Combine>
Tensor scan(const Tensor& self, int64_t dim, Sum<T> initial, const Combine& combine) {
  Tensor out = empty(self.sizes, self.dtype);
  if (out.numel() == 0) return out;
  const int64_t n = self.dim() == 0 ? 1 : self.size(dim);
  const int64_t out_step = byte_stride(out, dim);
  const int64_t self_step = byte_stride(self, dim);
  for_each_slice<2>({&out, &self}, dim, [&](const std::array<char*, 2>& at) {
    const Strided<T> to{at[0], out_step};
    const Strided<const T> from{at[1], self_step};
    Sum<T> total = initial;
    for (int64_t i = 0; i < n; ++i) {
      total = combine(total, static_cast<Sum<T>>(from[i]));
      to[i] = static_cast<T>(total);
    }
  });
  return out;
}

ScalarType scan_dtype(const Tensor& self, const int32_t* dtype) {
  if (dtype != nullptr) return static_cast<ScalarType>(*dtype);
  return is_floating(self.dtype) || is_complex(self.dtype) ? self.dtype : ScalarType::Long;
}

Tensor cumsum(const Tensor& self, int64_t dim, ScalarType dtype) {
  self.wrap(dim);
  const Tensor source = to(to(self, dtype), lane_of(dtype));
  return to(visit_lane(source.dtype,
                       [&](auto type) {
                         using T = typename decltype(type)::type;
                         return scan<T>(source, dim, Sum<T>(0), wrapping_add<Sum<T>>);
                       }),
            dtype);
}

Tensor cumprod(const Tensor& self, int64_t dim, ScalarType dtype) {
  self.wrap(dim);
  const Tensor source = to(to(self, dtype), lane_of(dtype));
  return to(visit_lane(source.dtype,
                       [&](auto type) {
                         using T = typename decltype(type)::type;
                         return scan<T>(source, dim, Sum<T>(1), wrapping_multiply<Sum<T>>);
                       }),
            dtype);
}

Tensor logcumsumexp(const Tensor& self, int64_t dim) {
  require(is_floating(self.dtype), "logcumsumexp of ", dtype_name(self.dtype), "; it serves floating point types");
  self.wrap(dim);
  const Tensor source = to(self, lane_of(self.dtype));
  return to(visit_float_lane(source.dtype,
                             [&](auto type) {
                               using T = typename decltype(type)::type;
                               return scan<T>(source, dim, -INFINITY, [](double total, double x) {
                                 const double least = std::isnan(x) || std::isnan(total) ? NAN : std::min(x, total);
                                 const double most = std::isnan(least) ? NAN : std::max(x, total);
                                 // Equal infinities have no difference.
                                 if (least == most && std::isinf(least)) return least;
                                 return most + std::log1p(std::exp(least - most));
                               });
                             }),
            self.dtype);
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu_cumsum(AtenTensorHandle self, int64_t dim, int32_t* dtype, AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(cumsum(get(self), dim, scan_dtype(get(self), dtype))); });
}

AOTITorchError aoti_torch_cpu_cumprod(AtenTensorHandle self, int64_t dim, int32_t* dtype, AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(cumprod(get(self), dim, scan_dtype(get(self), dtype))); });
}

AOTITorchError aoti_torch_cpu_logcumsumexp(AtenTensorHandle self, int64_t dim, AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(logcumsumexp(get(self), dim)); });
}
}
