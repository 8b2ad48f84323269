#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <algorithm>

#include "kernels/nonzero.h"
#include "tensor/iterate.h"

using namespace slim;

namespace {

void require_mask(const Tensor& mask) {
  require(mask.dtype == ScalarType::Bool, "a mask must be bool, not ", dtype_name(mask.dtype));
}

// The elements under the mask, in the order of the dims they broadcast to.
Tensor masked_select(const Tensor& self, const Tensor& mask) {
  require_mask(mask);
  const Dims shape = broadcast(self.sizes, mask.sizes);
  const Tensor source = contiguous(expand(self, shape));
  const Tensor where = contiguous(expand(mask, shape));
  const auto* set = where.data<uint8_t>();
  const int64_t total = where.numel();
  Tensor out = empty({std::count_if(set, set + total, [](uint8_t m) { return m != 0; })}, self.dtype);
  visit_size(self.itemsize(), [&](auto type) {
    using T = typename decltype(type)::type;
    const T* from = source.data<T>();
    T* to = out.data<T>();
    for (int64_t i = 0; i < total; ++i) {
      if (set[i] != 0) *to++ = from[i];
    }
  });
  return out;
}

// A copy of self where the elements under the mask are the first ones of source.
Tensor masked_scatter(const Tensor& self, const Tensor& mask, const Tensor& source) {
  require_mask(mask);
  require(self.dtype == source.dtype, "masked_scatter of ", dtype_name(source.dtype), " into ", dtype_name(self.dtype));
  const Dims shape = broadcast(self.sizes, mask.sizes);
  Tensor out = empty(shape, self.dtype);
  copy(out, self);
  const Tensor where = contiguous(expand(mask, shape));
  const Tensor values = contiguous(source);
  const auto* set = where.data<uint8_t>();
  const int64_t total = where.numel();
  const int64_t needed = std::count_if(set, set + total, [](uint8_t m) { return m != 0; });
  require(needed <= values.numel(), "the mask asks for ", needed, " elements of a source of ", values.numel());
  visit_size(self.itemsize(), [&](auto type) {
    using T = typename decltype(type)::type;
    const T* from = values.data<T>();
    T* to = out.data<T>();
    for (int64_t i = 0; i < total; ++i) {
      if (set[i] != 0) to[i] = *from++;
    }
  });
  return out;
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu_masked_select(AtenTensorHandle self, AtenTensorHandle mask, AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(masked_select(get(self), get(mask))); });
}

AOTITorchError aoti_torch_cpu_masked_scatter(AtenTensorHandle self, AtenTensorHandle mask, AtenTensorHandle source,
                                             AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(masked_scatter(get(self), get(mask), get(source))); });
}
}
