#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "kernels/order.h"
#include "tensor/iterate.h"

using namespace slim;

namespace {

// Torch's choice of algorithms, so that of equal elements the same ones are taken.
void select_top(std::vector<Keyed>& keys, int64_t k, bool sorted) {
  const auto n = static_cast<int64_t>(keys.size());
  if (k * 64 <= n) {
    std::partial_sort(keys.begin(), keys.begin() + k, keys.end(), key_less);
    return;
  }
  std::nth_element(keys.begin(), keys.begin() + k - 1, keys.end(), key_less);
  if (sorted) std::sort(keys.begin(), keys.begin() + k - 1, key_less);
}

void topk(const Tensor& self, int64_t k, int64_t dim, bool largest, bool sorted, AtenTensorHandle* values_handle,
          AtenTensorHandle* indices_handle) {
  const size_t d = self.wrap(dim);
  const int64_t n = self.dim() == 0 ? 1 : self.sizes[d];
  require(k >= 0 && k <= n, "k of ", k, " is out of range for size ", n);
  require(!is_complex(self.dtype), "complex numbers have no order");
  Dims sizes = self.sizes;
  if (self.dim() == 0) {
    k = 1;  // torch's answer for a single number, whatever k
  } else {
    sizes[d] = k;
  }
  Tensor values = empty(sizes, self.dtype);
  Tensor indices = empty(sizes, ScalarType::Long);
  if (values.numel() > 0) {
    const int64_t step[] = {byte_stride(values, dim), byte_stride(indices, dim), byte_stride(self, dim)};
    for_each_slice<3>(
        {&values, &indices, &self}, dim,
        [&](const std::array<char*, 3>& at) {
          std::vector<Keyed> keys(static_cast<size_t>(n));
          load_keys(self.dtype, at[2], step[2], n, largest, keys.data());
          select_top(keys, k, sorted);
          store_keyed(keys.data(), k, self.itemsize(), at[2], step[2], at[0], step[0], at[1], step[1]);
        },
        std::max<int64_t>(1, kGrain / 4 / n));
  }
  give_all({values_handle, indices_handle}, std::move(values), std::move(indices));
}

}  // namespace

extern "C" AOTITorchError aoti_torch_cpu_topk(AtenTensorHandle self, int64_t k, int64_t dim, int32_t largest,
                                              int32_t sorted, AtenTensorHandle* ret0, AtenTensorHandle* ret1) {
  return guard(__func__, [&] { topk(get(self), k, dim, largest != 0, sorted != 0, ret0, ret1); });
}
