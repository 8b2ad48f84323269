// mm, addmm, bmm and their kin.
#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <cmath>
#include <utility>

#include "kernels/gemm.h"
#include "tensor/iterate.h"

using namespace slim;

namespace {

bool same_elements(const Tensor& a, const Tensor& b) {
  return a.storage == b.storage && a.offset == b.offset && a.sizes == b.sizes && a.strides == b.strides &&
         a.dtype == b.dtype;
}

// Puts what the product is added to into `out`.
void start(const Tensor& out, const Tensor& self, double beta) {
  if (beta != 0 && !same_elements(out, self)) copy(out, self);
}

Tensor addmm(const Tensor& self, const Tensor& a, const Tensor& b, double beta, double alpha) {
  require(a.dim() == 2 && b.dim() == 2, "a matrix product of ", a.dim(), " and ", b.dim(), " dims");
  Tensor out = empty({a.sizes[0], b.sizes[1]}, a.dtype);
  start(out, self, beta);
  gemm(out, a, b, beta, alpha);
  return out;
}

// max(x, 0), NaN kept; or x * the normal distribution's integral up to x.
void activate(const Tensor& self, bool gelu) {
  visit_floating(self.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    using Wide = Accumulate<T>;
    map<T, T>(self, self, [=](T element) {
      const auto x = static_cast<Wide>(element);
      if (gelu) return static_cast<T>(x * Wide(0.5) * (1 + std::erf(x * Wide(0.70710678118654752440))));
      return static_cast<T>(x < 0 ? Wide(0) : x);
    });
  });
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu_mm_out(AtenTensorHandle out, AtenTensorHandle self, AtenTensorHandle mat2) {
  return guard(__func__, [&] { gemm(get(out), get(self), get(mat2), 0, 1); });
}

AOTITorchError aoti_torch_cpu_addmm_out(AtenTensorHandle out, AtenTensorHandle self, AtenTensorHandle mat1,
                                        AtenTensorHandle mat2, double beta, double alpha) {
  return guard(__func__, [&] {
    start(get(out), get(self), beta);
    gemm(get(out), get(mat1), get(mat2), beta, alpha);
  });
}

AOTITorchError aoti_torch_cpu_bmm_out(AtenTensorHandle out, AtenTensorHandle self, AtenTensorHandle mat2) {
  return guard(__func__, [&] { batched_gemm(get(out), get(self), get(mat2), 0, 1); });
}

AOTITorchError aoti_torch_cpu_baddbmm_out(AtenTensorHandle out, AtenTensorHandle self, AtenTensorHandle batch1,
                                          AtenTensorHandle batch2, double beta, double alpha) {
  return guard(__func__, [&] {
    start(get(out), get(self), beta);
    batched_gemm(get(out), get(batch1), get(batch2), beta, alpha);
  });
}

AOTITorchError aoti_torch_cpu__addmm_activation(AtenTensorHandle self, AtenTensorHandle mat1, AtenTensorHandle mat2,
                                                double beta, double alpha, int32_t use_gelu, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    Tensor out = addmm(get(self), get(mat1), get(mat2), beta, alpha);
    activate(out, use_gelu != 0);
    *ret0 = give(std::move(out));
  });
}

// beta * self + alpha * (the sum of all products of a batch).
AOTITorchError aoti_torch_cpu_addbmm(AtenTensorHandle self, AtenTensorHandle batch1, AtenTensorHandle batch2,
                                     double beta, double alpha, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    const Tensor& a = get(batch1);
    const Tensor& b = get(batch2);
    require(a.dim() == 3 && b.dim() == 3 && a.sizes[0] == b.sizes[0], "batches of sizes ", to_string(a.sizes), " and ",
            to_string(b.sizes), " do not multiply");
    Tensor out = empty({a.sizes[1], b.sizes[2]}, a.dtype);
    start(out, get(self), beta);
    if (a.sizes[0] == 0)
      gemm(out, narrow(zeros({a.sizes[1], 1}, a.dtype), 1, 0, 0), zeros({0, b.sizes[2]}, b.dtype), beta, alpha);
    for (int64_t i = 0; i < a.sizes[0]; ++i) gemm(out, select(a, 0, i), select(b, 0, i), i == 0 ? beta : 1, alpha);
    *ret0 = give(std::move(out));
  });
}

AOTITorchError aoti_torch_cpu_addmv(AtenTensorHandle self, AtenTensorHandle mat, AtenTensorHandle vec, double beta,
                                    double alpha, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    const Tensor& a = get(mat);
    const Tensor& x = get(vec);
    require(a.dim() == 2 && x.dim() == 1, "a product of a matrix of ", a.dim(), " dims and a vector of ", x.dim());
    Tensor out = empty({a.sizes[0]}, a.dtype);
    start(out, get(self), beta);
    gemm(unsqueeze(out, 1), a, unsqueeze(x, 1), beta, alpha);
    *ret0 = give(std::move(out));
  });
}

AOTITorchError aoti_torch_cpu__int_mm_out(AtenTensorHandle out, AtenTensorHandle self, AtenTensorHandle mat2) {
  return guard(__func__, [&] { int8_gemm(get(out), get(self), get(mat2)); });
}

AOTITorchError aoti_torch__mm_plus_mm_out(AtenTensorHandle out, AtenTensorHandle a, AtenTensorHandle b,
                                          AtenTensorHandle c, AtenTensorHandle d) {
  return guard(__func__, [&] {
    gemm(get(out), get(a), get(b), 0, 1);
    gemm(get(out), get(c), get(d), 1, 1);
  });
}
}
