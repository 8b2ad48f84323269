#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <string_view>

#include "kernels/scatter.h"

using namespace slim;

namespace {

// A copy of self in which the slices of source along `dim` were reduced into the slices that index names.
Tensor index_reduce(const Tensor& given_self, int64_t dim, const Tensor& given_index, const Tensor& given_source,
                    std::string_view reduce, bool include_self) {
  const bool number = given_self.dim() == 0;
  const Reduction how = reduction(reduce);
  require(how != Reduction::kSum, "reduction \"", reduce, "\" is none of prod, mean, amax, amin");
  require(given_index.dtype == ScalarType::Long || given_index.dtype == ScalarType::Int,
          "an index must be int64 or int32, not ", dtype_name(given_index.dtype));
  require(given_index.dim() <= 1, "an index of ", given_index.dim(), " dims, not 1");
  require(given_source.dtype == given_self.dtype, "source of ", dtype_name(given_source.dtype), " for self of ",
          dtype_name(given_self.dtype));
  const Tensor out = empty(given_self.sizes, given_self.dtype);
  copy(out, given_self);
  const Tensor slices = number ? unsqueeze(out, 0) : out;
  const Tensor source = given_source.dim() == 0 ? unsqueeze(given_source, 0) : given_source;
  const size_t d = slices.wrap(dim);
  Tensor index = to(given_index, ScalarType::Long);
  if (index.dim() == 0) index = unsqueeze(index, 0);
  check_indices(index, along(slices, dim));
  Dims expected = slices.sizes;
  expected[d] = index.sizes[0];
  require(source.sizes == expected, "source of shape ", to_string(source.sizes), " where self and index ask for ",
          to_string(expected));
  auto standing = [&](const Tensor& t) {
    Tensor into = t;
    into.sizes = expected;
    into.strides[d] = 0;
    return into;
  };
  for (size_t i = 0; i < expected.size(); ++i) {
    if (i < d) index = unsqueeze(index, 0);
    if (i > d) index = unsqueeze(index, -1);
  }
  index = expand(index, expected);
  const Tensor into = standing(slices);
  if (!include_self) {
    scatter(into, index, expand(identity(how, out.dtype), expected), along(slices, dim), Reduction::kAssign);
  }
  scatter(into, index, source, along(slices, dim), how);
  if (how == Reduction::kMean) {
    const Tensor counts = empty(slices.sizes, out.dtype);
    fill(counts, include_self ? 1 : 0);
    scatter(standing(counts), index, expand(identity(Reduction::kProduct, out.dtype), expected), along(counts, dim),
            Reduction::kSum);
    divide_by_counts(slices, counts);
  }
  return out;
}

}  // namespace

extern "C" AOTITorchError aoti_torch_cpu_index_reduce(AtenTensorHandle self, int64_t dim, AtenTensorHandle index,
                                                      AtenTensorHandle source, const char* reduce, int32_t include_self,
                                                      AtenTensorHandle* ret0) {
  return guard(__func__,
               [&] { *ret0 = give(index_reduce(get(self), dim, get(index), get(source), reduce, include_self != 0)); });
}
