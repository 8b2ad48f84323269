#include "kernels/panels.h"

#include "tensor/packed.h"

namespace slim {
namespace {

// Whether a float32 weight lies as a build writes it for this runtime: columns in blocks of 16, in each of which they
// vary fastest, and the depth not filled up.
bool lies_in_panels(const Tensor& weight, int64_t columns, int64_t depth) {
  if (weight.dtype != ScalarType::Float) return false;
  const Blocked layout = parse_layout(weight.opaque->descriptor);
  const int64_t padded = (columns + matrix::kPanel - 1) / matrix::kPanel * matrix::kPanel;
  return layout.dims == Dims{columns, depth} && layout.padded == Dims{padded, depth} &&
         layout.strides == Dims{matrix::kPanel * depth, matrix::kPanel} &&
         layout.inner_blocks == Dims{matrix::kPanel} && layout.inner_dims == Dims{0};
}

}  // namespace

const void* panels_of(const Tensor& weight, int64_t columns, int64_t depth) {
  Opaque& opaque = *weight.opaque;
  const std::lock_guard<std::mutex> lock(opaque.mutex);
  if (!opaque.panels) {
    if (lies_in_panels(weight, columns, depth)) return weight.raw();
    const Tensor plain = unpacked(weight);
    require(plain.numel() == columns * depth, "a packed weight of sizes ", to_string(plain.sizes), " is used as ",
            to_string(Dims{columns, depth}));
    const matrix::Numbers numbers = numbers_of(weight);
    Storage made = Storage::allocate(static_cast<size_t>(matrix::panel_bytes(numbers, columns, depth)));
    matrix::pack_panels(numbers, {plain.raw(), 1, depth}, columns, depth, made.data());
    opaque.panels = std::move(made);
  }
  return opaque.panels.data();
}

}  // namespace slim
