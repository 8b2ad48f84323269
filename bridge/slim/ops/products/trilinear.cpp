#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <algorithm>
#include <array>
#include <functional>

#include "tensor/iterate.h"
#include "tensor/lanes.h"

using namespace slim;

namespace {

Tensor with_dims(const Tensor& self, Dims dims) {
  std::sort(dims.begin(), dims.end());
  Tensor expanded = self;
  for (const int64_t dim : dims) expanded = unsqueeze(expanded, dim);
  return expanded;
}

// The product of the three, each given dims of size 1 where told, summed over the dims `sum`.
Tensor trilinear(const Tensor& i1, const Dims& dims1, const Tensor& i2, const Dims& dims2, const Tensor& i3,
                 const Dims& dims3, Dims sum) {
  const ScalarType lane = lane_of(i1.dtype);
  require(i1.dtype == i2.dtype && i1.dtype == i3.dtype, "three factors of different dtypes");
  const Tensor a = to(with_dims(i1, dims1), lane);
  const Tensor b = to(with_dims(i2, dims2), lane);
  const Tensor c = to(with_dims(i3, dims3), lane);
  const Dims shape = broadcast(broadcast(a.sizes, b.sizes), c.sizes);
  Dims kept = shape;
  for (const int64_t dim : sum) kept[a.wrap(dim)] = 1;
  Tensor out = zeros(kept, lane);
  visit_lane(lane, [&](auto type) {
    using T = typename decltype(type)::type;
    Loop<4>({&out, &a, &b, &c}, shape)
        .run(
            [](const std::array<char*, 4>& at, const std::array<int64_t, 4>& step, int64_t n) {
              const Strided<T> total{at[0], step[0]};
              const Strided<const T> x{at[1], step[1]};
              const Strided<const T> y{at[2], step[2]};
              const Strided<const T> z{at[3], step[3]};
              for (int64_t i = 0; i < n; ++i)
                total[i] = wrapping_add(total[i], wrapping_multiply(wrapping_multiply(x[i], y[i]), z[i]));
            },
            INT64_MAX);  // on one thread, since terms of one sum may lie anywhere
  });
  std::sort(sum.begin(), sum.end(), std::greater<>());
  for (const int64_t dim : sum) out = squeeze(out, dim);
  return to(contiguous(out), i1.dtype);
}

}  // namespace

extern "C" AOTITorchError aoti_torch_cpu__trilinear(AtenTensorHandle i1, AtenTensorHandle i2, AtenTensorHandle i3,
                                                    const int64_t* expand1, int64_t expand1_len_,
                                                    const int64_t* expand2, int64_t expand2_len_,
                                                    const int64_t* expand3, int64_t expand3_len_, const int64_t* sumdim,
                                                    int64_t sumdim_len_, int64_t, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    *ret0 = give(trilinear(get(i1), list(expand1, expand1_len_), get(i2), list(expand2, expand2_len_), get(i3),
                           list(expand3, expand3_len_), list(sumdim, sumdim_len_)));
  });
}
