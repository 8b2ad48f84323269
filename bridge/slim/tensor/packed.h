// Constants in oneDNN's own layouts, read without oneDNN.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace slim {

// A blocked layout as oneDNN 3 serialises it: the bytes of its struct dnnl_memory_desc, which torch writes into a
// model. oneDNN before 3.4 has no function that reads them, and a model's may come from another version than ours; so
// they are taken apart here. The struct's beginning is the same in all of 3.x.
struct Blocked {
  Dims dims;
  Dims padded;
  Dims strides;
  Dims inner_blocks;
  Dims inner_dims;
  int32_t type;
};

// Fails where the bytes describe no layout that can be read here.
Blocked parse_layout(const std::vector<uint8_t>& bytes);

// A constant in oneDNN's layout as an ordinary tensor of the sizes in its descriptor.
Tensor unpacked(const Tensor& tensor);

// The sizes that oneDNN knows a packed constant by; with groups there is one dim more.
Dims packed_sizes(const Tensor& tensor);

}  // namespace slim
