#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include "kernels/matrix/product.h"
#include "tensor/tensor.h"

using namespace slim;

namespace {

// self [m, k] times the rows of weight, int8 [n, k], each row with a scale of its own: [m, n].
Tensor int8_matmul(const Tensor& self, const Tensor& weight, const Tensor& scales) {
  require(is_floating(self.dtype) && self.dim() == 2, "self must be a floating point matrix, not ",
          dtype_name(self.dtype), " of ", to_string(self.sizes));
  require(weight.dtype == ScalarType::Char && weight.dim() == 2 && weight.sizes[1] == self.sizes[1], "a weight of ",
          dtype_name(weight.dtype), " ", to_string(weight.sizes), " for ", to_string(self.sizes));
  require(scales.dim() == 1 && scales.sizes[0] == weight.sizes[0], "scales of shape ", to_string(scales.sizes), " for ",
          weight.sizes[0], " rows");
  const Tensor x = contiguous(to(self, ScalarType::Float));
  const Tensor w = contiguous(weight);
  const Tensor scale = contiguous(to(scales, ScalarType::Float));
  const matrix::Sizes sizes{self.sizes[0], weight.sizes[0], self.sizes[1]};
  const Tensor out = empty({sizes.rows, sizes.columns}, ScalarType::Float);
  matrix::Result result;
  result.out = out.data<float>();
  result.row_stride = sizes.columns;
  matrix::multiply({x.raw(), sizes.depth, 1}, matrix::Int8Columns{w.data<int8_t>(), scale.data<float>()}, sizes,
                   result);
  return to(out, self.dtype);
}

}  // namespace

extern "C" AOTITorchError aoti_torch_cpu__weight_int8pack_mm(AtenTensorHandle self, AtenTensorHandle mat2,
                                                             AtenTensorHandle scales, AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(int8_matmul(get(self), get(mat2), get(scales))); });
}
