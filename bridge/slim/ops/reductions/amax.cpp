#include <torch/csrc/inductor/aoti_torch/generated/c_shim_aten.h>

#include <algorithm>
#include <array>
#include <limits>

#include "tensor/iterate.h"
#include "tensor/lanes.h"

using namespace slim;

namespace {

// The largest over the dims, all of them when none is named. NaN beats every number.
Tensor amax(const Tensor& self, const Dims& dims, bool keep) {
  require(!is_complex(self.dtype), "complex numbers have no order");
  const Tensor source = to(self, lane_of(self.dtype));
  Dims kept = self.sizes;
  Dims gone(self.sizes.size(), dims.empty() ? 1 : 0);
  for (const int64_t dim : dims) {
    const size_t d = self.wrap(dim);
    if (self.dim() > 0) gone[d] = 1;
  }
  for (size_t d = 0; d < kept.size(); ++d) {
    require(gone[d] == 0 || self.sizes[d] > 0, "the largest over dim ", d, " of size 0");
    if (gone[d] != 0) kept[d] = 1;
  }
  Tensor out = empty(kept, source.dtype);
  visit_real_lane(source.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    const bool infinite = std::numeric_limits<T>::has_infinity;
    const T least = infinite ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::lowest();
    for_each<T>(out, [least](T& x) { x = least; });
    Loop<2>({&out, &source}, self.sizes)
        .run(
            [](const std::array<char*, 2>& at, const std::array<int64_t, 2>& step, int64_t n) {
              const Strided<T> most{at[0], step[0]};
              const Strided<const T> x{at[1], step[1]};
              for (int64_t i = 0; i < n; ++i) {
                if (x[i] > most[i] || is_nan(x[i])) most[i] = x[i];
              }
            },
            INT64_MAX);
  });
  for (size_t d = kept.size(); !keep && d-- > 0;) {
    if (gone[d] != 0) out = squeeze(out, static_cast<int64_t>(d));
  }
  return to(out, self.dtype);
}

}  // namespace

extern "C" AOTITorchError aoti_torch_aten_amax(AtenTensorHandle self, const int64_t* dim, int64_t dim_len_,
                                               int32_t keepdim, AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(amax(get(self), list(dim, dim_len_), keepdim != 0)); });
}
