#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include "tensor/lanes.h"
#include "tensor/parallel.h"

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
  const int64_t m = self.sizes[0];
  const int64_t n = weight.sizes[0];
  const int64_t k = self.sizes[1];
  const Tensor a = contiguous(to(self, ScalarType::Float));
  const Tensor b = contiguous(weight);
  const Tensor scale = contiguous(to(scales, ScalarType::Float));
  const Tensor out = empty({m, n}, ScalarType::Float);
  parallel_for(0, n, std::max<int64_t>(1, kGrain / (m * k + 1)), [&](int64_t begin, int64_t end) {
    std::vector<float> row(static_cast<size_t>(k));
    for (int64_t j = begin; j < end; ++j) {
      for (int64_t i = 0; i < k; ++i) row[i] = b.data<int8_t>()[j * k + i];
      for (int64_t i = 0; i < m; ++i) {
        const float* x = a.data<float>() + i * k;
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t l = 0; l < k; ++l) sum += x[l] * row[l];
        out.data<float>()[i * n + j] = sum * scale.data<float>()[j];
      }
    }
  });
  return to(out, self.dtype);
}

}  // namespace

extern "C" AOTITorchError aoti_torch_cpu__weight_int8pack_mm(AtenTensorHandle self, AtenTensorHandle mat2,
                                                             AtenTensorHandle scales, AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(int8_matmul(get(self), get(mat2), get(scales))); });
}
