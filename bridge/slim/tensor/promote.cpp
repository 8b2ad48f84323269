#include "tensor/promote.h"

namespace slim {
namespace {

int kind(ScalarType dtype) {
  if (dtype == ScalarType::Bool) return 0;
  if (is_complex(dtype)) return 3;
  return is_floating(dtype) ? 2 : 1;
}

}  // namespace

ScalarType result_type(const Tensor& a, const Tensor& b) {
  if ((a.dim() == 0) == (b.dim() == 0)) return promote(a.dtype, b.dtype);
  const Tensor& number = a.dim() == 0 ? a : b;
  const Tensor& tensor = a.dim() == 0 ? b : a;
  if (kind(number.dtype) <= kind(tensor.dtype)) return tensor.dtype;
  if (is_complex(number.dtype) && is_floating(tensor.dtype)) {
    return tensor.dtype == ScalarType::Double ? ScalarType::ComplexDouble : ScalarType::ComplexFloat;
  }
  return number.dtype;
}

ScalarType result_type_with_float(const Tensor& a) { return kind(a.dtype) >= 2 ? a.dtype : ScalarType::Float; }

}  // namespace slim
