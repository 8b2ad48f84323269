#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <algorithm>
#include <string_view>

#include "tensor/iterate.h"
#include "tensor/lanes.h"
#include "tensor/promote.h"

using namespace slim;

namespace {

// The first place in the n sorted values whose element is >= x, or > x for `right`. NaN belongs behind everything.
template <class T>
int64_t place_of(T x, const T* sorted, const int64_t* order, int64_t n, bool right) {
  int64_t low = 0;
  int64_t high = n;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    const T at = sorted[order != nullptr ? order[middle] : middle];
    const bool reached = right ? at > x : at >= x;
    if (reached) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

void check_shapes(const Tensor& sorted, const Tensor& self, const Tensor* sorter) {
  require(sorted.dim() >= 1, "the sorted sequence has no dims");
  if (sorted.dim() > 1) {
    bool same = self.dim() == sorted.dim();
    for (int64_t d = 0; same && d + 1 < self.dim(); ++d) same = self.size(d) == sorted.size(d);
    require(same, "values of shape ", to_string(self.sizes), " for sequences of ", to_string(sorted.sizes));
  }
  if (sorter == nullptr) return;
  require(sorter->sizes == sorted.sizes && sorter->dtype == ScalarType::Long, "a sorter must be int64 and of shape ",
          to_string(sorted.sizes));
  const Tensor order = contiguous(*sorter);
  for (int64_t i = 0; i < order.numel(); ++i) {
    const int64_t index = order.data<int64_t>()[i];
    require(index >= 0 && index < sorted.size(-1), "sorter's index ", index, " is out of range for size ",
            sorted.size(-1));
  }
}

Tensor searchsorted(const Tensor& sorted, const Tensor& self, ScalarType common, bool int32, bool right,
                    const Tensor* sorter) {
  check_shapes(sorted, self, sorter);
  const Tensor sequences = contiguous(to(to(sorted, common), lane_of(common)));
  const Tensor values = contiguous(to(to(self, common), lane_of(common)));
  const Tensor order = sorter != nullptr ? contiguous(*sorter) : Tensor();
  const int64_t n = sequences.size(-1);
  // Values for each sequence; a single sequence serves all values.
  const int64_t run =
      sequences.dim() == 1 ? std::max<int64_t>(values.numel(), 1) : std::max<int64_t>(values.size(-1), 1);
  Tensor out = empty(self.sizes, ScalarType::Long);
  visit_real_lane(sequences.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    parallel_for(0, values.numel(), 512, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t first = i / run * n;
        out.data<int64_t>()[i] = place_of(values.data<T>()[i], sequences.data<T>() + first,
                                          order.defined() ? order.data<int64_t>() + first : nullptr, n, right);
      }
    });
  });
  return to(out, int32 ? ScalarType::Int : ScalarType::Long);
}

bool is_right(int32_t right, const char** side) {
  if (side == nullptr) return right != 0;
  const std::string_view name = *side;
  require(name == "left" || name == "right", "side \"", name, "\" is neither left nor right");
  require(right == 0 || name == "right", "side \"", name, "\" contradicts right=True");
  return name == "right";
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu_searchsorted_Tensor(AtenTensorHandle sorted_sequence, AtenTensorHandle self,
                                                  int32_t out_int32, int32_t right, const char** side,
                                                  AtenTensorHandle* sorter, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    const Tensor& sorted = get(sorted_sequence);
    const Tensor& values = get(self);
    *ret0 = give(searchsorted(sorted, values, result_type(sorted, values), out_int32 != 0, is_right(right, side),
                              get_optional(sorter)));
  });
}

AOTITorchError aoti_torch_cpu_searchsorted_Scalar(AtenTensorHandle sorted_sequence, double self, int32_t out_int32,
                                                  int32_t right, const char** side, AtenTensorHandle* sorter,
                                                  AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    const Tensor& sorted = get(sorted_sequence);
    require(sorted.dim() == 1, "a number can be searched in one sequence, not in shape ", to_string(sorted.sizes));
    const Tensor value = empty({}, ScalarType::Double);
    fill(value, self);
    *ret0 = give(searchsorted(sorted, value, result_type_with_float(sorted), out_int32 != 0, is_right(right, side),
                              get_optional(sorter)));
  });
}

AOTITorchError aoti_torch_cpu_bucketize_Tensor(AtenTensorHandle self, AtenTensorHandle boundaries, int32_t out_int32,
                                               int32_t right, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    const Tensor& sorted = get(boundaries);
    const Tensor& values = get(self);
    require(sorted.dim() == 1, "boundaries of shape ", to_string(sorted.sizes), " instead of one dim");
    *ret0 = give(searchsorted(sorted, values, result_type(sorted, values), out_int32 != 0, right != 0, nullptr));
  });
}
}
