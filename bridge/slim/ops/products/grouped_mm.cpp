// Products of groups of rows or columns with matrices of their own: the experts of a mixture.
#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <algorithm>
#include <utility>

#include "kernels/gemm.h"
#include "tensor/iterate.h"

using namespace slim;

namespace {

constexpr int64_t kLine = 16;  // bytes: torch wants rows to start at multiples of it, whatever the device

// Whether rows (or columns) lie one behind the other, at multiples of 16 bytes.
void check_strides(const Tensor& matrix) {
  const int64_t per_line = kLine / static_cast<int64_t>(matrix.itemsize());
  auto fits = [&](int64_t inner, int64_t outer) {
    return matrix.stride(inner) == 1 && matrix.stride(outer) >= std::max<int64_t>(1, matrix.size(inner));
  };
  const bool columns = fits(-2, -1);
  require(columns || fits(-1, -2), "a grouped product of strides ", to_string(matrix.strides), " and sizes ",
          to_string(matrix.sizes));
  require(matrix.stride(columns ? -1 : -2) % per_line == 0, "a grouped product of strides ", to_string(matrix.strides),
          " that are no multiple of 16 bytes");
}

// matrix[start:end] along a dim as Python has it.
Tensor sliced(const Tensor& matrix, int64_t dim, int64_t start, int64_t end) {
  const int64_t size = matrix.size(dim);
  auto place = [=](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + size : at, 0, size); };
  return narrow(matrix, dim, place(start), std::max<int64_t>(0, place(end) - place(start)));
}

Dims result_sizes(const Tensor& a, const Tensor& b, const Tensor* ends) {
  const bool flat_a = a.dim() == 2;
  const bool flat_b = b.dim() == 2;
  if (flat_a && flat_b) return {ends->sizes[0], a.sizes[0], b.sizes[1]};
  const int64_t groups = flat_a || flat_b ? ends->sizes[0] : a.sizes[0];
  require((flat_a || a.sizes[0] == groups) && (flat_b || b.sizes[0] == groups), "a grouped product of sizes ",
          to_string(a.sizes), " and ", to_string(b.sizes), " in ", groups, " groups");
  return flat_a || flat_b ? Dims{a.size(-2), b.size(-1)} : Dims{groups, a.size(-2), b.size(-1)};
}

}  // namespace

extern "C" AOTITorchError aoti_torch_cpu__grouped_mm(AtenTensorHandle self, AtenTensorHandle mat2,
                                                     AtenTensorHandle* offs, AtenTensorHandle* bias, int32_t* out_dtype,
                                                     AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    const Tensor& a = get(self);
    const Tensor& b = get(mat2);
    const Tensor* ends = get_optional(offs);
    for (const Tensor* t : {&a, &b}) {
      require(t->dtype == ScalarType::Float || t->dtype == ScalarType::BFloat16 || t->dtype == ScalarType::Half,
              "a grouped product of ", dtype_name(t->dtype));
      require(t->dim() == 2 || t->dim() == 3, "a grouped product of ", t->dim(), " dims");
    }
    const bool flat_a = a.dim() == 2;
    const bool flat_b = b.dim() == 2;
    require((flat_a && flat_b) || a.size(-1) == b.size(-2), "a grouped product of sizes ", to_string(a.sizes), " and ",
            to_string(b.sizes));
    check_strides(a);
    check_strides(b);
    require((ends != nullptr) == (flat_a || flat_b), "a grouped product needs offsets exactly if one side is a matrix");
    require(ends == nullptr || (ends->dim() == 1 && ends->dtype == ScalarType::Int), "offsets must be int32, one dim");
    require(get_optional(bias) == nullptr, "a grouped product has no bias");
    require(optional_dtype(out_dtype).value_or(a.dtype) == a.dtype, "a grouped product gives the dtype it is given");

    const Dims sizes = result_sizes(a, b, ends);
    const int64_t per_line = kLine / static_cast<int64_t>(a.itemsize());
    const int64_t row = (sizes.back() + per_line - 1) / per_line * per_line;
    const Dims strides = sizes.size() == 2 ? Dims{row, 1} : Dims{sizes[1] * row, row, 1};
    Tensor out = empty_strided(sizes, strides, a.dtype);
    if (ends == nullptr) {
      batched_gemm(out, a, b, 0, 1);
    } else {
      const Tensor places = contiguous(*ends);
      int64_t start = 0;
      for (int64_t group = 0; group < places.sizes[0]; ++group) {
        const int64_t end = places.data<int32_t>()[group];
        if (flat_a && flat_b) {
          gemm(select(out, 0, group), sliced(a, 1, start, end), sliced(b, 0, start, end), 0, 1);
        } else if (flat_a) {
          gemm(sliced(out, 0, start, end), sliced(a, 0, start, end), select(b, 0, group), 0, 1);
        } else {
          gemm(sliced(out, 1, start, end), select(a, 0, group), sliced(b, 1, start, end), 0, 1);
        }
        start = end;
      }
    }
    *ret0 = give(std::move(out));
  });
}
