// Where the elements of a tensor are not zero: what masks are turned into.
#pragma once

#include "tensor/tensor.h"

namespace slim {

// uint8 of self's shape, contiguous: 1 where an element is not zero. NaN is not zero, -0.0 is.
Tensor nonzero_mask(const Tensor& self);

// int64 [count, self.dim()], the coordinates of the elements that are not zero, in the order of the dims. In memory
// each dim's coordinates lie together, as torch has them.
Tensor nonzero(const Tensor& self);

}  // namespace slim
