#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "kernels/order.h"
#include "tensor/iterate.h"

using namespace slim;

namespace {

// Below this many elements std::sort is ahead of counting digits.
constexpr int64_t kRadixFrom = 512;

// Stable: by digits of a byte, the lowest first, leaving out those in which all keys agree. `other` is scratch for n
// keys.
void radix_sort(Keyed* keys, Keyed* other, int64_t n) {
  Keyed* from = keys;
  for (int shift = 0; shift < 64; shift += 8) {
    int64_t places[257] = {};
    for (int64_t i = 0; i < n; ++i) ++places[((from[i].key >> shift) & 0xff) + 1];
    if (places[((from[0].key >> shift) & 0xff) + 1] == n) continue;
    for (int digit = 0; digit < 256; ++digit) places[digit + 1] += places[digit];
    for (int64_t i = 0; i < n; ++i) other[places[(from[i].key >> shift) & 0xff]++] = from[i];
    std::swap(from, other);
  }
  if (from != keys) std::copy_n(from, n, keys);
}

// Always stable, whether asked for or not.
void sort(const Tensor& self, int64_t dim, bool descending, AtenTensorHandle* values_handle,
          AtenTensorHandle* indices_handle) {
  self.wrap(dim);
  require(!is_complex(self.dtype), "complex numbers have no order");
  Tensor values = empty_like(self);
  Tensor indices = empty_strided(values.sizes, values.strides, ScalarType::Long);
  if (self.numel() > 0) {
    const int64_t n = self.dim() == 0 ? 1 : self.size(dim);
    const int64_t step[] = {byte_stride(values, dim), byte_stride(indices, dim), byte_stride(self, dim)};
    for_each_slice<3>(
        {&values, &indices, &self}, dim,
        [&](const std::array<char*, 3>& at) {
          const bool radix = n >= kRadixFrom;
          std::vector<Keyed> keys(static_cast<size_t>(radix ? 2 * n : n));
          load_keys(self.dtype, at[2], step[2], n, descending, keys.data());
          if (radix) {
            radix_sort(keys.data(), keys.data() + n, n);
          } else {
            std::sort(keys.begin(), keys.end(), key_index_less);
          }
          store_keyed(keys.data(), n, self.itemsize(), at[2], step[2], at[0], step[0], at[1], step[1]);
        },
        std::max<int64_t>(1, kGrain / 16 / n));
  }
  give_all({values_handle, indices_handle}, std::move(values), std::move(indices));
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu_sort(AtenTensorHandle self, int64_t dim, int32_t descending, AtenTensorHandle* ret0,
                                   AtenTensorHandle* ret1) {
  return guard(__func__, [&] { sort(get(self), dim, descending != 0, ret0, ret1); });
}

AOTITorchError aoti_torch_cpu_sort_stable(AtenTensorHandle self, int32_t*, int64_t dim, int32_t descending,
                                          AtenTensorHandle* ret0, AtenTensorHandle* ret1) {
  return guard(__func__, [&] { sort(get(self), dim, descending != 0, ret0, ret1); });
}
}
