// Functions that Inductor fuses into a product, by its names.
#pragma once

#include <cstdint>
#include <string_view>

#include "kernels/matrix/product.h"
#include "tensor/error.h"

namespace slim {

// Sets the function of one argument. `name`, `scalars`, its elements and `algorithm` may be null: none.
inline void fuse_unary(matrix::Result& result, const char* name, const double* const* scalars, int64_t count,
                       const char* const* algorithm) {
  struct Named {
    std::string_view name;
    matrix::Unary unary;
  };
  static constexpr Named kKnown[] = {
      {"none", matrix::Unary::kNone},
      {"relu", matrix::Unary::kRelu},
      {"leaky_relu", matrix::Unary::kLeakyRelu},
      {"sigmoid", matrix::Unary::kSigmoid},
      {"tanh", matrix::Unary::kTanh},
      {"swish", matrix::Unary::kSwish},
      {"hardswish", matrix::Unary::kHardswish},
      {"hardsigmoid", matrix::Unary::kHardsigmoid},
      {"hardtanh", matrix::Unary::kHardtanh},
      {"gelu", matrix::Unary::kGelu},
  };
  if (name == nullptr) return;
  const auto* known = std::begin(kKnown);
  while (known != std::end(kKnown) && known->name != name) ++known;
  require(known != std::end(kKnown), "the fused function ", name, " is not known to this runtime");
  result.unary = known->unary;
  if (known->unary == matrix::Unary::kGelu && algorithm != nullptr && *algorithm != nullptr &&
      std::string_view(*algorithm) == "tanh")
    result.unary = matrix::Unary::kGeluTanh;
  if (count > 0 && scalars[0] != nullptr) result.alpha = static_cast<float>(*scalars[0]);
  if (count > 1 && scalars[1] != nullptr) result.beta = static_cast<float>(*scalars[1]);
}

inline matrix::Binary fused_binary(std::string_view name) {
  require(name == "add" || name == "sub" || name == "mul", "the fused operation ", name,
          " is not known to this runtime");
  return name == "add" ? matrix::Binary::kAdd : (name == "sub" ? matrix::Binary::kSubtract : matrix::Binary::kMultiply);
}

}  // namespace slim
