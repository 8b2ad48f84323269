#include "kernels/scatter.h"

#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include "tensor/pending.h"

using namespace slim;

namespace {

// A number as a tensor of one dim, which is how torch treats it here.
Tensor at_least_1d(const Tensor& self) { return self.dim() == 0 ? unsqueeze(self, 0) : self; }

// The part of self that lies over `sizes`, from the first element on.
Tensor first_part(const Tensor& self, const Dims& sizes) {
  Tensor part = self;
  part.sizes = sizes;
  return part;
}

void check_shapes(const Tensor& self, int64_t dim, const Tensor& index, const Tensor* from) {
  const size_t d = self.wrap(dim);
  require(index.dtype == ScalarType::Long || index.dtype == ScalarType::Int, "an index must be int64 or int32, not ",
          dtype_name(index.dtype));
  require(index.dim() == self.dim() && (from == nullptr || from->dim() == self.dim()),
          "self, index and source of shapes ", to_string(self.sizes), ", ", to_string(index.sizes), ", ",
          to_string(from ? from->sizes : index.sizes), " differ in dims");
  for (size_t i = 0; i < index.sizes.size(); ++i) {
    const bool fits = (i == d || index.sizes[i] <= self.sizes[i]) && (!from || index.sizes[i] <= from->sizes[i]);
    require(fits, "index of shape ", to_string(index.sizes), " exceeds self of ", to_string(self.sizes),
            " or source of ", to_string(from ? from->sizes : index.sizes), " apart from dim ", dim);
  }
}

// Where scatter writes: `out` seen through the index, standing still along `dim`.
Tensor target(const Tensor& out, int64_t dim, const Tensor& index) {
  Tensor into = first_part(out, index.sizes);
  into.strides[into.wrap(dim)] = 0;
  return into;
}

void start_from(const Tensor& out, const Tensor& self) {
  require(out.sizes == self.sizes && out.dtype == self.dtype, "out of shape ", to_string(out.sizes), " for self of ",
          to_string(self.sizes));
  if (out.raw() != self.raw() || out.strides != self.strides) copy(out, self);
}

// out = self, then out[..., index[i], ...] = reduce(out[..., index[i], ...], from[i]).
void scatter_into(const Tensor& given_out, const Tensor& given_self, int64_t dim, const Tensor& given_index,
                  const Tensor& given_from, Reduction reduction, bool include_self) {
  const Tensor out = at_least_1d(given_out);
  const Tensor self = at_least_1d(given_self);
  const Tensor index = to(at_least_1d(given_index), ScalarType::Long);
  const Tensor from = at_least_1d(given_from);
  require(from.dtype == self.dtype, "source of ", dtype_name(from.dtype), " for self of ", dtype_name(self.dtype));
  start_from(out, self);
  if (index.numel() == 0) return;
  check_shapes(self, dim, at_least_1d(given_index), &from);
  const Tensor into = target(out, dim, index);
  const Tensor values = first_part(from, index.sizes);
  if (!include_self) {
    scatter(into, index, expand(identity(reduction, out.dtype), index.sizes), along(out, dim), Reduction::kAssign);
  }
  scatter(into, index, values, along(out, dim), reduction);
  if (reduction != Reduction::kMean) return;
  Tensor counts = empty(out.sizes, out.dtype);
  fill(counts, include_self ? 1 : 0);
  const Tensor one = identity(Reduction::kProduct, out.dtype);
  scatter(target(counts, dim, index), index, expand(one, index.sizes), along(counts, dim), Reduction::kSum);
  divide_by_counts(out, counts);
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu_scatter_src_out(AtenTensorHandle out, AtenTensorHandle self, int64_t dim,
                                              AtenTensorHandle index, AtenTensorHandle src) {
  return guard_ignored(__func__,
                       [&] { scatter_into(get(out), get(self), dim, get(index), get(src), Reduction::kAssign, true); });
}

AOTITorchError aoti_torch_cpu_scatter_value_out(AtenTensorHandle out, AtenTensorHandle self, int64_t dim,
                                                AtenTensorHandle index, double value) {
  return guard_ignored(__func__, [&] {
    Tensor number = empty({}, get(self).dtype);
    fill(number, value);
    scatter_into(get(out), get(self), dim, get(index), expand(number, get(index).sizes), Reduction::kAssign, true);
  });
}

AOTITorchError aoti_torch_cpu_scatter_reduce_two_out(AtenTensorHandle out, AtenTensorHandle self, int64_t dim,
                                                     AtenTensorHandle index, AtenTensorHandle src, const char* reduce,
                                                     int32_t include_self) {
  return guard_ignored(__func__, [&] {
    scatter_into(get(out), get(self), dim, get(index), get(src), reduction(reduce), include_self != 0);
  });
}

AOTITorchError aoti_torch_scatter_out(AtenTensorHandle out, AtenTensorHandle self, int64_t dim, AtenTensorHandle index,
                                      AtenTensorHandle src) {
  return guard_ignored(__func__,
                       [&] { scatter_into(get(out), get(self), dim, get(index), get(src), Reduction::kAssign, true); });
}

AOTITorchError aoti_torch_scatter_reduce_out(AtenTensorHandle out, AtenTensorHandle self, int64_t dim,
                                             AtenTensorHandle index, AtenTensorHandle src, const char* reduce,
                                             int32_t include_self) {
  return guard_ignored(__func__, [&] {
    scatter_into(get(out), get(self), dim, get(index), get(src), reduction(reduce), include_self != 0);
  });
}
}
