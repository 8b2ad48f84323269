#include <torch/csrc/inductor/aoti_torch/c/shim_cpu.h>

#include <algorithm>

#include "kernels/matrix/product.h"
#include "tensor/tensor.h"

using namespace slim;

namespace {

// x [..., k] times weights of four bits, packed as torch packs them with AVX-512 [n, k / 2], with a scale and a zero of
// each group of the depth: [..., n].
Tensor int4_matmul(const Tensor& x, const Tensor& weight, int64_t group, const Tensor& pairs) {
  require(
      x.dim() >= 2 && (x.dtype == ScalarType::Float || x.dtype == ScalarType::BFloat16 || x.dtype == ScalarType::Half),
      "an int4 product of ", dtype_name(x.dtype), " ", to_string(x.sizes));
  require(weight.dim() == 2 && weight.dtype == ScalarType::Byte && weight.sizes[1] * 2 == x.sizes.back() &&
              weight.sizes[0] % matrix::kPanel == 0,
          "an int4 weight of ", dtype_name(weight.dtype), " ", to_string(weight.sizes), " for ", to_string(x.sizes));
  const matrix::Sizes sizes{x.numel() / std::max<int64_t>(x.sizes.back(), 1), weight.sizes[0], x.sizes.back()};
  require((group == 32 || group == 64 || group == 128 || group == 256) && sizes.depth % group == 0, "groups of ", group,
          " for a depth of ", sizes.depth);
  require(pairs.dtype == x.dtype && pairs.sizes == Dims{sizes.depth / group, sizes.columns, 2}, "scales and zeros of ",
          dtype_name(pairs.dtype), " ", to_string(pairs.sizes));
  const Tensor rows = contiguous(to(x, ScalarType::Float));
  const Tensor packed = contiguous(weight);
  const bool halves = pairs.dtype == ScalarType::BFloat16;
  const Tensor both = contiguous(halves ? pairs : to(pairs, ScalarType::Float));
  Dims shape = x.sizes;
  shape[shape.size() - 1] = sizes.columns;
  const Tensor out = empty(shape, ScalarType::Float);
  matrix::Result result;
  result.out = out.data<float>();
  result.row_stride = sizes.columns;
  matrix::multiply({rows.raw(), sizes.depth, 1}, matrix::Int4Blocks{packed.data<uint8_t>(), group, both.raw(), halves},
                   sizes, result);
  return to(out, x.dtype);
}

}  // namespace

extern "C" AOTITorchError aoti_torch_cpu__weight_int4pack_mm_cpu_tensor(AtenTensorHandle X, AtenTensorHandle w,
                                                                        AtenTensorHandle qGroupSize,
                                                                        AtenTensorHandle qScaleAndZeros,
                                                                        AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    const Tensor& group = get(qGroupSize);
    require(group.numel() == 1, "a group size of ", group.numel(), " numbers");
    *ret0 = give(int4_matmul(get(X), get(w), *to(group, ScalarType::Long).data<int64_t>(), get(qScaleAndZeros)));
  });
}
