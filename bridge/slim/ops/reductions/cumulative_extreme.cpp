#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <array>
#include <utility>

#include "tensor/iterate.h"
#include "tensor/lanes.h"

using namespace slim;

namespace {

// The extreme so far and where it was: of equal values the last one, and NaN beats every number.
void cumulative_extreme(const Tensor& self, int64_t dim, bool largest, AtenTensorHandle* values,
                        AtenTensorHandle* indices) {
  self.wrap(dim);
  require(!is_complex(self.dtype), "complex numbers have no order");
  const Tensor source = to(self, lane_of(self.dtype));
  Tensor best = empty(self.sizes, source.dtype);
  Tensor where = empty(self.sizes, ScalarType::Long);
  if (self.numel() > 0) {
    const int64_t n = self.dim() == 0 ? 1 : self.size(dim);
    const int64_t step[] = {byte_stride(best, dim), byte_stride(where, dim), byte_stride(source, dim)};
    visit_real_lane(source.dtype, [&](auto type) {
      using T = typename decltype(type)::type;
      for_each_slice<3>({&best, &where, &source}, dim, [&](const std::array<char*, 3>& at) {
        const Strided<T> value{at[0], step[0]};
        const Strided<int64_t> index{at[1], step[1]};
        const Strided<const T> from{at[2], step[2]};
        T extreme = from[0];
        int64_t found = 0;
        for (int64_t i = 0; i < n; ++i) {
          const T x = from[i];
          if (is_nan(x) || (!is_nan(extreme) && (largest ? x >= extreme : x <= extreme))) {
            extreme = x;
            found = i;
          }
          value[i] = extreme;
          index[i] = found;
        }
      });
    });
  }
  give_all({values, indices}, to(best, self.dtype), std::move(where));
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu_cummax(AtenTensorHandle self, int64_t dim, AtenTensorHandle* ret0,
                                     AtenTensorHandle* ret1) {
  return guard(__func__, [&] { cumulative_extreme(get(self), dim, true, ret0, ret1); });
}

AOTITorchError aoti_torch_cpu_cummin(AtenTensorHandle self, int64_t dim, AtenTensorHandle* ret0,
                                     AtenTensorHandle* ret1) {
  return guard(__func__, [&] { cumulative_extreme(get(self), dim, false, ret0, ret1); });
}
}
