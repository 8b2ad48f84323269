#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <utility>
#include <vector>

#include "kernels/order.h"
#include "tensor/iterate.h"

using namespace slim;

namespace {

// Shape of a reduction over one dim.
Dims reduced(const Tensor& self, size_t dim, bool keep) {
  Dims sizes = self.sizes;
  if (sizes.empty()) return sizes;
  sizes[dim] = 1;
  if (!keep) sizes.erase(dim);
  return sizes;
}

// values and indices of the one element of each slice along `dim` that `choose` puts at keys[position] and returns.
void choose_in_slices(const Tensor& self, int64_t dim, bool keep,
                      const std::function<Keyed(std::vector<Keyed>& keys)>& choose, AtenTensorHandle* values_handle,
                      AtenTensorHandle* indices_handle) {
  const size_t d = self.wrap(dim);
  const int64_t n = self.dim() == 0 ? 1 : self.sizes[d];
  Tensor values = empty(reduced(self, d, keep), self.dtype);
  Tensor indices = empty(values.sizes, ScalarType::Long);
  if (values.numel() > 0) {
    const Dims with_dim = reduced(self, d, true);
    const Tensor all_values = reshape(values, with_dim);
    const Tensor all_indices = reshape(indices, with_dim);
    const int64_t step = byte_stride(self, dim);
    for_each_slice<3>(
        {&all_values, &all_indices, &self}, dim,
        [&](const std::array<char*, 3>& at) {
          std::vector<Keyed> keys(static_cast<size_t>(n));
          load_keys(self.dtype, at[2], step, n, false, keys.data());
          const Keyed chosen = choose(keys);
          store_keyed(&chosen, 1, self.itemsize(), at[2], step, at[0], 0, at[1], 0);
        },
        std::max<int64_t>(1, kGrain / 4 / n));
  }
  give_all({values_handle, indices_handle}, std::move(values), std::move(indices));
}

// Of equal elements the first one's index; torch's choice among them is not specified.
void kthvalue(const Tensor& self, int64_t k, int64_t dim, bool keep, AtenTensorHandle* values,
              AtenTensorHandle* indices) {
  const int64_t n = self.dim() == 0 ? 1 : self.size(dim);
  require(k >= 1 && k <= n, "k of ", k, " is out of range for size ", n, " of dim ", dim);
  auto choose = [k](std::vector<Keyed>& keys) {
    std::nth_element(keys.begin(), keys.begin() + k - 1, keys.end(), key_index_less);
    return keys[static_cast<size_t>(k - 1)];
  };
  choose_in_slices(self, dim, keep, choose, values, indices);
}

// The most frequent element, of several the least, and where it is last.
void mode(const Tensor& self, int64_t dim, bool keep, AtenTensorHandle* values, AtenTensorHandle* indices) {
  require(self.dim() == 0 || self.size(dim) > 0, "mode over dim ", dim, " of size 0");
  auto choose = [](std::vector<Keyed>& keys) {
    std::sort(keys.begin(), keys.end(), key_index_less);
    size_t best_run = 0;
    Keyed best{};
    for (size_t i = 0, run = 0; i < keys.size(); ++i) {
      run = i > 0 && keys[i].key == keys[i - 1].key ? run + 1 : 1;
      if (run > best_run) {
        best_run = run;
        best = keys[i];
      }
    }
    return best;
  };
  choose_in_slices(self, dim, keep, choose, values, indices);
}

// The lower median of all elements. NaN where there is one, or left out; NaN of nothing.
Tensor median(const Tensor& self, bool ignore_nan) {
  Tensor out = empty({}, self.dtype);
  const Tensor flat = contiguous(self);
  std::vector<Keyed> keys(static_cast<size_t>(flat.numel()));
  const auto itemsize = static_cast<int64_t>(flat.itemsize());
  const char* from = flat.data<char>();
  load_keys(flat.dtype, from, itemsize, flat.numel(), false, keys.data());
  auto end = keys.end();
  if (ignore_nan && is_floating(self.dtype)) {
    end = std::partition(keys.begin(), keys.end(), [](const Keyed& k) { return k.key != kNanKey; });
  }
  const bool any_nan = std::any_of(keys.begin(), end, [](const Keyed& k) { return k.key == kNanKey; });
  if (end == keys.begin() || (is_floating(self.dtype) && any_nan)) {
    fill(out, NAN);
    return out;
  }
  const auto middle = keys.begin() + (end - keys.begin() - 1) / 2;
  std::nth_element(keys.begin(), middle, end, key_less);
  std::copy_n(from + middle->index * itemsize, itemsize, out.data<char>());
  return out;
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu_kthvalue(AtenTensorHandle self, int64_t k, int64_t dim, int32_t keepdim,
                                       AtenTensorHandle* ret0, AtenTensorHandle* ret1) {
  return guard(__func__, [&] { kthvalue(get(self), k, dim, keepdim != 0, ret0, ret1); });
}

AOTITorchError aoti_torch_cpu_mode(AtenTensorHandle self, int64_t dim, int32_t keepdim, AtenTensorHandle* ret0,
                                   AtenTensorHandle* ret1) {
  return guard(__func__, [&] { mode(get(self), dim, keepdim != 0, ret0, ret1); });
}

AOTITorchError aoti_torch_cpu_median(AtenTensorHandle self, AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(median(get(self), false)); });
}

AOTITorchError aoti_torch_cpu_nanmedian(AtenTensorHandle self, AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(median(get(self), true)); });
}
}
