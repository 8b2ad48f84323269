// Writing to places that a tensor of indices names: what scatter, index_put and index_reduce have in common.
#pragma once

#include <cstdint>
#include <string_view>

#include "tensor/tensor.h"

namespace slim {

enum class Reduction { kAssign, kSum, kProduct, kMean, kMaximum, kMinimum };

// Of torch's names: sum, prod, mean, amax, amin; also add and multiply.
Reduction reduction(std::string_view name);

// What leaves every value as it is, as a tensor without dims; the mean's is its sum's.
Tensor identity(Reduction reduction, ScalarType dtype);

// What indices count along: a dim of `size` elements that lie `stride` apart. The number is for messages.
struct Along {
  int64_t dim;
  int64_t size;
  int64_t stride;
};
inline Along along(const Tensor& self, int64_t dim) {
  return {static_cast<int64_t>(self.wrap(dim)), self.size(dim), self.stride(dim)};
}

// Fails, naming the index, the size and the dim, unless every index, int64, is in [0, size).
void check_indices(const Tensor& index, const Along& along);

// into[i + index[i] * stride] = reduce(into[...], from[i]) for all i: `into` moves as its strides say and then by
// `index` along the dim. All of the same sizes; index int64, each in [0, size), or it fails before anything of it is
// written. Elements that meet in one place are taken in the order of the dims. kMean sums; the caller divides.
void scatter(const Tensor& into, const Tensor& index, const Tensor& from, const Along& along, Reduction reduction);

// `into` divided by counts, in place: integers rounded down, as torch does; a count of 0 leaves the value.
void divide_by_counts(const Tensor& into, const Tensor& counts);

}  // namespace slim
