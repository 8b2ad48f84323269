// Writing to places that a tensor of indices names: what scatter, index_put and index_reduce have in common.
#pragma once

#include <string_view>

#include "tensor.h"

namespace slim {

enum class Reduction { kAssign, kSum, kProduct, kMean, kMaximum, kMinimum };

// Of torch's names: sum, prod, mean, amax, amin; also add and multiply.
Reduction reduction(std::string_view name);

// What leaves every value as it is, as a tensor without dims; the mean's is its sum's.
Tensor identity(Reduction reduction, ScalarType dtype);

// Fails unless every index, int64, is in [0, limit).
void check_indices(const Tensor& index, int64_t limit);

// into[i + index[i] * unit] = reduce(into[...], from[i]) for all i: `into` moves as its strides say and then by `index`
// times `unit` elements. All of the same sizes; index int64, each in [0, limit), or it fails before anything of it is
// written. Elements that meet in one place are taken in the order of the dims. kMean sums; the caller divides.
void scatter(const Tensor& into, const Tensor& index, const Tensor& from, int64_t unit, int64_t limit,
             Reduction reduction);

// `into` divided by counts, in place: integers rounded down, as torch does; a count of 0 leaves the value.
void divide_by_counts(const Tensor& into, const Tensor& counts);

}  // namespace slim
