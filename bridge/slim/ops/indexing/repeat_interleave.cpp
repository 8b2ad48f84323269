#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <algorithm>
#include <optional>

#include "tensor/iterate.h"

using namespace slim;

namespace {

// 0 repeats[0] times, 1 repeats[1] times, and so on; of the dtype of repeats.
Tensor repeat_interleave(const Tensor& repeats, std::optional<int64_t> output_size) {
  require(repeats.dim() == 1, "repeats of ", repeats.dim(), " dims, not 1");
  require(repeats.dtype == ScalarType::Long || repeats.dtype == ScalarType::Int, "repeats must be int64 or int32, not ",
          dtype_name(repeats.dtype));
  const Tensor counts = contiguous(to(repeats, ScalarType::Long));
  const auto* count = counts.data<int64_t>();
  int64_t total = 0;
  for (int64_t i = 0; i < counts.numel(); ++i) {
    require(count[i] >= 0, "negative repeat ", count[i]);
    require(!__builtin_add_overflow(total, count[i], &total), "too many repeats");
  }
  require(!output_size || *output_size == total, "output_size of ", output_size.value_or(0), ", but repeats sum up to ",
          total);
  Tensor out = empty({total}, ScalarType::Long);
  auto* at = out.data<int64_t>();
  for (int64_t i = 0; i < counts.numel(); ++i) at = std::fill_n(at, count[i], i);
  return to(out, repeats.dtype);
}

}  // namespace

extern "C" AOTITorchError aoti_torch_cpu_repeat_interleave_Tensor(AtenTensorHandle repeats, int64_t* output_size,
                                                                  AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(repeat_interleave(get(repeats), optional(output_size))); });
}
