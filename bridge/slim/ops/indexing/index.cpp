#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>
#include <vector>

#include "kernels/nonzero.h"
#include "kernels/scatter.h"
#include "tensor/iterate.h"
#include "tensor/lanes.h"
#include "tensor/pending.h"

using namespace slim;

namespace {

// What self[indices] means.
struct Indexing {
  Tensor view;     // self, with the dims of the indices in place of those they index, and no stride along them
  Tensor offsets;  // int64, of the same sizes: elements to go on from there
};

bool is_mask(const Tensor& index) { return index.dtype == ScalarType::Bool || index.dtype == ScalarType::Byte; }

// Indices for the leading dims of self, masks turned into the coordinates they set. Undefined: the whole dim.
std::vector<Tensor> without_masks(const Tensor& self, const std::vector<const Tensor*>& indices) {
  std::vector<Tensor> plain;
  for (const Tensor* index : indices) {
    if (index == nullptr) {
      plain.emplace_back();
    } else if (!is_mask(*index)) {
      require(index->dtype == ScalarType::Long || index->dtype == ScalarType::Int,
              "an index must be int64, int32, bool or uint8, not ", dtype_name(index->dtype));
      plain.push_back(to(*index, ScalarType::Long));
    } else {
      for (size_t d = 0; d < index->sizes.size(); ++d) {
        const size_t at = plain.size() + d;
        require(at < self.sizes.size() && index->sizes[d] == self.sizes[at], "a mask of shape ",
                to_string(index->sizes), " at dim ", plain.size(), " of shape ", to_string(self.sizes));
      }
      const Tensor coordinates = nonzero(*index);
      for (int64_t d = 0; d < index->dim(); ++d) plain.push_back(select(coordinates, 1, d));
    }
  }
  require(plain.size() <= self.sizes.size(), plain.size(), " indices for ", self.dim(), " dims");
  plain.resize(self.sizes.size());
  return plain;
}

// Where the index dims stand in the result: in place of the dims they index if these lie together, else in front.
size_t front_of_index_dims(const std::vector<Tensor>& indices) {
  size_t first = 0;
  while (!indices[first].defined()) ++first;
  size_t end = first;
  while (end < indices.size() && indices[end].defined()) ++end;
  const bool together = std::none_of(indices.begin() + static_cast<std::ptrdiff_t>(end), indices.end(),
                                     [](const Tensor& t) { return t.defined(); });
  return together ? first : 0;
}

Indexing plan_indexing(const Tensor& self, const std::vector<const Tensor*>& given) {
  const std::vector<Tensor> indices = without_masks(self, given);
  Dims index_sizes;
  Tensor offsets;
  for (const Tensor& index : indices) {
    if (index.defined()) index_sizes = broadcast(index_sizes, index.sizes);
  }
  for (size_t d = 0; d < indices.size(); ++d) {
    if (!indices[d].defined()) continue;
    const Tensor index = expand(indices[d], index_sizes);
    if (!offsets.defined()) {
      offsets = empty_like(index);
      zero(offsets);
    }
    const auto dim = static_cast<int64_t>(d);
    const int64_t size = self.sizes[d];
    const int64_t stride = self.strides[d];
    map<int64_t, int64_t, int64_t>(offsets, offsets, index, [=](int64_t sum, int64_t i) {
      return sum + checked_index(i, dim, size, "index") * stride;
    });
  }
  require(offsets.defined(), "indexing without an index");
  const size_t front = front_of_index_dims(indices);
  Indexing plan{self, {}};
  plan.view.sizes = plan.view.strides = Dims();
  Dims where_indexed;  // the sizes of the offsets among the dims of the result; 1 in those that are not indexed
  auto place_index_dims = [&] {
    for (const int64_t size : index_sizes) {
      plan.view.sizes.push_back(size);
      plan.view.strides.push_back(0);
      where_indexed.push_back(size);
    }
  };
  if (front == 0) place_index_dims();
  for (size_t d = 0, kept = 0; d < indices.size(); ++d) {
    if (indices[d].defined()) continue;
    plan.view.sizes.push_back(self.sizes[d]);
    plan.view.strides.push_back(self.strides[d]);
    where_indexed.push_back(1);
    if (++kept == front) place_index_dims();
  }
  plan.offsets = expand(reshape(offsets, where_indexed), plan.view.sizes);
  return plan;
}

Tensor index(const Tensor& self, const std::vector<const Tensor*>& indices) {
  const Indexing plan = plan_indexing(self, indices);
  Tensor out =
      empty_strided(plan.view.sizes, elementwise_strides({&plan.view, &plan.offsets}, plan.view.sizes), self.dtype);
  visit_size(self.itemsize(), [&](auto type) {
    using T = typename decltype(type)::type;
    Loop<3>({&out, &plan.view, &plan.offsets})
        .run([](const std::array<char*, 3>& at, const std::array<int64_t, 3>& step, int64_t n) {
          for (int64_t i = 0; i < n; ++i) {
            const int64_t offset = *reinterpret_cast<const int64_t*>(at[2] + i * step[2]);
            *reinterpret_cast<T*>(at[0] + i * step[0]) = reinterpret_cast<const T*>(at[1] + i * step[1])[offset];
          }
        });
  });
  return out;
}

void index_put(const Tensor& self, const std::vector<const Tensor*>& indices, const Tensor& values, bool accumulate) {
  require(values.dtype == self.dtype, "values of ", dtype_name(values.dtype), " for self of ", dtype_name(self.dtype));
  const Indexing plan = plan_indexing(self, indices);
  // Leading dims of size 1 that the target does not have carry nothing.
  Tensor source = values;
  while (source.dim() > plan.view.dim() && source.sizes[0] == 1) source = squeeze(source, 0);
  scatter(plan.view, plan.offsets, expand(source, plan.view.sizes), {0, INT64_MAX, 1},
          accumulate ? Reduction::kSum : Reduction::kAssign);
}

std::vector<const Tensor*> optionals(const AtenTensorHandle** handles, int64_t count) {
  std::vector<const Tensor*> tensors;
  tensors.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) tensors.push_back(get_optional(handles[i]));
  return tensors;
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu_index_Tensor(AtenTensorHandle self, const AtenTensorHandle** indices,
                                           int64_t indices_len_, AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(index(get(self), optionals(indices, indices_len_))); });
}

AOTITorchError aoti_torch_cpu_index_put(AtenTensorHandle self, const AtenTensorHandle** indices, int64_t indices_len_,
                                        AtenTensorHandle values, int32_t accumulate, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    Tensor out = clone(get(self));
    index_put(out, optionals(indices, indices_len_), get(values), accumulate != 0);
    *ret0 = give(std::move(out));
  });
}

AOTITorchError aoti_torch_index_put_out(AtenTensorHandle out, AtenTensorHandle self, const AtenTensorHandle* indices,
                                        const uint32_t num_indices, const AtenTensorHandle values, bool accumulate) {
  return guard_ignored(__func__, [&] {
    const Tensor& to = get(out);
    const Tensor& from = get(self);
    require(to.sizes == from.sizes && to.dtype == from.dtype, "out of shape ", to_string(to.sizes), " for self of ",
            to_string(from.sizes));
    if (to.raw() != from.raw() || to.strides != from.strides) copy(to, from);
    std::vector<const Tensor*> tensors;
    tensors.reserve(num_indices);
    for (uint32_t i = 0; i < num_indices; ++i) tensors.push_back(get_optional(&indices[i]));
    index_put(to, tensors, get(values), accumulate);
  });
}
}
