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

// The same for weights of a convolution, [groups,] out, in, kernel: blocks of 16 of the first dim that is not of groups
// of several channels.
bool lies_in_panels(const Tensor& weight, const matrix::Geometry& geometry) {
  if (weight.dtype != ScalarType::Float) return false;
  const Blocked layout = parse_layout(weight.opaque->descriptor);
  const auto rank = static_cast<int64_t>(layout.dims.size());
  const int64_t lead = geometry.groups > 1 ? 1 : 0;
  const int64_t blocked = geometry.is_depthwise() ? 0 : lead;
  Dims sizes{geometry.outputs, geometry.inputs};
  if (lead == 1) sizes.insert(0, geometry.groups);
  for (int64_t dim = lead + 2 - rank + matrix::kPlaces; dim < matrix::kPlaces; ++dim) {
    if (dim >= 0) sizes.push_back(geometry.kernel[dim]);
  }
  if (rank < lead + 3 || layout.dims != sizes) return false;
  Dims padded = layout.dims;
  auto& filled = padded[static_cast<size_t>(blocked)];
  filled = (filled + matrix::kPanel - 1) / matrix::kPanel * matrix::kPanel;
  Dims strides(static_cast<size_t>(rank));
  int64_t step = matrix::kPanel;
  const auto set = [&](int64_t dim) {
    strides[static_cast<size_t>(dim)] = step;
    step *= padded[static_cast<size_t>(dim)] / (dim == blocked ? matrix::kPanel : 1);
  };
  set(lead + 1);
  for (int64_t dim = rank - 1; dim > lead + 1; --dim) set(dim);
  set(lead);
  if (lead == 1) set(0);
  return layout.padded == padded && layout.strides == strides && layout.inner_blocks == Dims{matrix::kPanel} &&
         layout.inner_dims == Dims{blocked};
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
    // Those of recurrent layers are the other way round: layer, direction, inputs, gates, hidden.
    const bool turned = plain.dim() == 5;
    const matrix::Right right{plain.raw(), turned ? columns : 1, turned ? 1 : depth};
    matrix::pack_panels(numbers, right, columns, depth, made.data());
    opaque.panels = std::move(made);
  }
  require(opaque.panels.bytes() >= static_cast<size_t>(matrix::panel_bytes(numbers_of(weight), columns, depth)),
          "a packed weight is used in two ways");
  return opaque.panels.data();
}

const void* panels_of(const Tensor& weight, const matrix::Geometry& geometry) {
  Opaque& opaque = *weight.opaque;
  const std::lock_guard<std::mutex> lock(opaque.mutex);
  if (!opaque.panels) {
    if (lies_in_panels(weight, geometry)) return weight.raw();
    const bool halves = geometry.numbers == matrix::Numbers::kBfloat16;
    const Tensor plain = to(unpacked(weight), halves ? ScalarType::BFloat16 : ScalarType::Float);
    Dims sizes{geometry.groups, geometry.outputs, geometry.inputs};
    for (const int64_t taps : geometry.kernel) sizes.push_back(taps);
    require(plain.numel() == count(sizes), "a packed weight of sizes ", to_string(plain.sizes), " is used as ",
            to_string(sizes));
    Storage made;
    fresh_panels(reshape(plain, sizes), geometry, made);
    opaque.panels = std::move(made);
  }
  require(opaque.panels.bytes() >= static_cast<size_t>(matrix::panel_bytes(geometry)),
          "a packed weight is used in two ways");
  return opaque.panels.data();
}

const void* fresh_panels(const Tensor& weight, const matrix::Geometry& geometry, Storage& made) {
  Dims order{0, 1};
  for (int64_t dim = 3; dim < weight.dim(); ++dim) order.push_back(dim);
  order.push_back(2);
  const Tensor in_order = contiguous(permute(weight, order));
  made = Storage::allocate(static_cast<size_t>(matrix::panel_bytes(geometry)));
  matrix::pack_panels(geometry, in_order.raw(), made.data());
  return made.data();
}

}  // namespace slim
