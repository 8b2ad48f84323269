#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <optional>
#include <vector>

#include "tensor/tensor.h"

using namespace slim;

namespace {

// An empty tensor of one dim goes with any shape, a habit that torch keeps.
bool is_skipped(const Tensor& self) { return self.dim() == 1 && self.sizes[0] == 0; }

Tensor cat(const std::vector<const Tensor*>& tensors, int64_t dim) {
  require(!tensors.empty(), "cat of no tensors");
  ScalarType dtype = tensors[0]->dtype;
  const Tensor* first = nullptr;
  for (const Tensor* tensor : tensors) {
    require(tensor->dim() > 0, "a tensor without dims cannot be part of cat");
    dtype = promote(dtype, tensor->dtype);
    if (first == nullptr && !is_skipped(*tensor)) first = tensor;
  }
  if (first == nullptr) return empty({0}, dtype);
  const size_t d = first->wrap(dim);
  Dims sizes = first->sizes;
  sizes[d] = 0;
  std::optional<MemoryFormat> format;
  for (const Tensor* tensor : tensors) {
    const MemoryFormat own = suggest_memory_format(*tensor);
    format = own == MemoryFormat::kContiguous || format.value_or(own) != own ? MemoryFormat::kContiguous : own;
    if (is_skipped(*tensor)) continue;
    Dims expected = sizes;
    require(tensor->dim() == first->dim(), "cat of shapes ", to_string(first->sizes), " and ",
            to_string(tensor->sizes));
    expected[d] = tensor->sizes[d];
    require(tensor->sizes == expected, "cat along dim ", dim, " of shapes ", to_string(first->sizes), " and ",
            to_string(tensor->sizes));
    sizes[d] += tensor->sizes[d];
  }
  Tensor out = empty(sizes, dtype, format.value_or(MemoryFormat::kContiguous));
  int64_t at = 0;
  for (const Tensor* tensor : tensors) {
    if (is_skipped(*tensor)) continue;
    copy(narrow(out, static_cast<int64_t>(d), at, tensor->sizes[d]), *tensor);
    at += tensor->sizes[d];
  }
  return out;
}

}  // namespace

extern "C" AOTITorchError aoti_torch_cpu_cat(const AtenTensorHandle* tensors, int64_t tensors_len_, int64_t dim,
                                             AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    std::vector<const Tensor*> all;
    all.reserve(static_cast<size_t>(tensors_len_));
    for (int64_t i = 0; i < tensors_len_; ++i) all.push_back(&get(tensors[i]));
    *ret0 = give(cat(all, dim));
  });
}
