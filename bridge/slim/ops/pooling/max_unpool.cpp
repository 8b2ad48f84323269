#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <algorithm>

#include "kernels/scatter.h"
#include "tensor/lanes.h"

using namespace slim;

namespace {

// Zeros, with the values of each plane put to the places that max_pool found them at.
Tensor max_unpool(const Tensor& self, const Tensor& indices, const Dims& output_size) {
  const size_t rank = output_size.size();
  require(self.sizes.size() == rank + 1 || self.sizes.size() == rank + 2, "unpooling of shape ", to_string(self.sizes),
          " to ", to_string(output_size));
  require(indices.sizes == self.sizes && indices.dtype == ScalarType::Long, "indices must be int64 of shape ",
          to_string(self.sizes));
  Dims sizes = self.sizes;
  std::copy(output_size.begin(), output_size.end(), sizes.end() - rank);
  const bool keeps_format = rank == 2 && self.dim() == 4;
  Tensor out = zeros(sizes, self.dtype);
  if (self.numel() > 0) {
    const int64_t plane = count(output_size);
    const int64_t planes = out.numel() / std::max<int64_t>(plane, 1);
    const Tensor index = reshape(indices, {planes, -1});
    Tensor into = reshape(out, {planes, plane});
    into.sizes = index.sizes;
    into.strides[1] = 0;
    const int64_t first = out.dim() - static_cast<int64_t>(rank);  // of the dims that an index counts through
    scatter(into, index, reshape(self, index.sizes), {first, plane, 1}, Reduction::kAssign);
  }
  if (!keeps_format || suggest_memory_format(self) == MemoryFormat::kContiguous) return out;
  Tensor arranged = empty(sizes, self.dtype, suggest_memory_format(self));
  copy(arranged, out);
  return arranged;
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu_max_unpool2d(AtenTensorHandle self, AtenTensorHandle indices, const int64_t* output_size,
                                           int64_t output_size_len_, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    require(output_size_len_ == 2, "an output size of ", output_size_len_, " numbers, not 2");
    *ret0 = give(max_unpool(get(self), get(indices), list(output_size, 2)));
  });
}

AOTITorchError aoti_torch_cpu_max_unpool3d(AtenTensorHandle self, AtenTensorHandle indices, const int64_t* output_size,
                                           int64_t output_size_len_, const int64_t*, int64_t, const int64_t*, int64_t,
                                           AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    require(output_size_len_ == 3, "an output size of ", output_size_len_, " numbers, not 3");
    *ret0 = give(max_unpool(get(self), get(indices), list(output_size, 3)));
  });
}
}
