#include "kernels/nonzero.h"

#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <algorithm>

#include "tensor/iterate.h"

namespace slim {

Tensor nonzero_mask(const Tensor& self) {
  Tensor mask = empty(self.sizes, ScalarType::Byte);
  copy(mask, to(self, ScalarType::Bool));
  return mask;
}

Tensor nonzero(const Tensor& self) {
  const Tensor mask = self.dtype == ScalarType::Bool ? contiguous(self) : nonzero_mask(self);
  const auto* set = mask.data<uint8_t>();
  const int64_t total = mask.numel();
  const int64_t found = std::count_if(set, set + total, [](uint8_t m) { return m != 0; });
  const size_t rank = self.sizes.size();
  Tensor out = empty({self.dim(), found}, ScalarType::Long);
  auto* to = out.data<int64_t>();
  for (int64_t i = 0, row = 0; row < found; ++i) {
    if (set[i] == 0) continue;
    int64_t rest = i;
    for (size_t d = rank; d-- > 0;) {
      to[static_cast<int64_t>(d) * found + row] = rest % self.sizes[d];
      rest /= self.sizes[d];
    }
    ++row;
  }
  return transpose(out, 0, 1);
}

}  // namespace slim

using namespace slim;

namespace {

// As many rows as asked for: those beyond are left out, those missing are `fill_value`.
Tensor nonzero_static(const Tensor& self, int64_t size, int64_t fill_value) {
  require(size >= 0, "size of ", size, " is negative");
  const Tensor all = nonzero(self);
  Tensor out = empty({size, self.dim()}, ScalarType::Long);
  auto* to = out.data<int64_t>();
  const int64_t kept = std::min(all.sizes[0], size);
  copy(narrow(out, 0, 0, kept), narrow(all, 0, 0, kept));
  std::fill(to + kept * self.dim(), to + out.numel(), fill_value);
  return out;
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu_nonzero(AtenTensorHandle self, AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(nonzero(get(self))); });
}

AOTITorchError aoti_torch_cpu_nonzero_static(AtenTensorHandle self, int64_t size, int64_t fill_value,
                                             AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(nonzero_static(get(self), size, fill_value)); });
}
}
