#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <cmath>

#include "tensor/tensor.h"

using namespace slim;

// Periodic, as torch's default is.
extern "C" AOTITorchError aoti_torch_cpu_hann_window(int64_t window_length, int32_t* dtype, int32_t*, int32_t*, int32_t,
                                                     int32_t*, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    const ScalarType wanted = optional_dtype(dtype).value_or(ScalarType::Float);
    require(is_floating(wanted), "a window of ", dtype_name(wanted));
    require(window_length >= 0, "a window of length ", window_length);
    const Tensor window = empty({window_length}, ScalarType::Double);
    for (int64_t i = 0; i < window_length; ++i) {
      const double turn = 2 * M_PI * static_cast<double>(i) / static_cast<double>(window_length);
      window.data<double>()[i] = window_length == 1 ? 1 : 0.5 - 0.5 * std::cos(turn);
    }
    *ret0 = give(to(window, wanted));
  });
}
