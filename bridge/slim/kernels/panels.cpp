#include "kernels/panels.h"

#include "kernels/matrix/product.h"
#include "tensor/packed.h"

namespace slim {
namespace {

// Whether it lies as a build writes weights for this runtime: columns in blocks of 16, in each of which they vary
// fastest, and the depth not filled up.
bool lies_in_panels(const Blocked& layout, int64_t columns, int64_t depth) {
  const int64_t padded = (columns + matrix::kPanel - 1) / matrix::kPanel * matrix::kPanel;
  return layout.dims == Dims{columns, depth} && layout.padded == Dims{padded, depth} &&
         layout.strides == Dims{matrix::kPanel * depth, matrix::kPanel} &&
         layout.inner_blocks == Dims{matrix::kPanel} && layout.inner_dims == Dims{0};
}

}  // namespace

const float* panels_of(const Tensor& weight, int64_t columns, int64_t depth) {
  Opaque& opaque = *weight.opaque;
  const std::lock_guard<std::mutex> lock(opaque.mutex);
  if (!opaque.panels) {
    if (lies_in_panels(parse_layout(opaque.descriptor), columns, depth)) return weight.data<float>();
    const Tensor plain = unpacked(weight);
    require(plain.numel() == columns * depth, "a packed weight of sizes ", to_string(plain.sizes), " is used as ",
            to_string(Dims{columns, depth}));
    Storage made = Storage::allocate(static_cast<size_t>(matrix::panel_numbers(columns, depth)) * sizeof(float));
    matrix::pack_panels({plain.data<float>(), 1, depth}, columns, depth, static_cast<float*>(made.data()));
    opaque.panels = std::move(made);
  }
  return static_cast<const float*>(opaque.panels.data());
}

}  // namespace slim
