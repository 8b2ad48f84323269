#include "kernels/panels.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "tensor/packed.h"

namespace slim {
namespace {

int64_t filled_up(int64_t size, int64_t block) { return (size + block - 1) / block * block; }

// Whether a build may have written a weight as kernels of the numbers read it.
bool is_of(const Tensor& weight, matrix::Numbers numbers) {
  return (weight.dtype == ScalarType::Float && numbers == matrix::Numbers::kFloat32) ||
         (weight.dtype == ScalarType::BFloat16 && numbers == matrix::Numbers::kBfloat16) ||
         (weight.dtype == ScalarType::Half && numbers == matrix::Numbers::kFloat16);
}

}  // namespace

bool lies_in_panels(const Tensor& weight, const Dims& sizes, size_t columns, size_t depth) {
  constexpr auto kWord = static_cast<int64_t>(sizeof(float));
  const int64_t in_word = kWord / static_cast<int64_t>(weight.itemsize());
  const Blocked layout = parse_layout(weight.opaque->descriptor);
  if (in_word == 0 || layout.dims != sizes) return false;
  Dims padded = sizes;
  padded[columns] = filled_up(sizes[columns], matrix::kPanel);
  padded[depth] = filled_up(sizes[depth], in_word);
  int64_t taps = 1;
  for (size_t dim = std::max(columns, depth) + 1; dim < sizes.size(); ++dim) taps *= sizes[dim];
  if (taps > 1 && padded[depth] != sizes[depth]) return false;  // a tap's channels follow right behind another's
  Dims strides(sizes.size());
  int64_t step = matrix::kPanel * in_word;
  const auto set = [&](size_t dim, int64_t blocks) {
    strides[dim] = step;
    step *= blocks;
  };
  set(depth, padded[depth] / in_word);
  for (size_t dim = sizes.size(); dim-- > 0;) {
    if (dim != depth) set(dim, dim == columns ? padded[dim] / matrix::kPanel : padded[dim]);
  }
  Dims blocks{matrix::kPanel};
  Dims of{static_cast<int64_t>(columns)};
  if (in_word > 1) {
    blocks.push_back(in_word);
    of.push_back(static_cast<int64_t>(depth));
  }
  return layout.padded == padded && layout.strides == strides && layout.inner_blocks == blocks &&
         layout.inner_dims == of;
}

bool lies_in_panels(const Tensor& weight, const Channels& channels) {
  const auto rank = static_cast<int64_t>(packed_sizes(weight).size());
  const int64_t lead = channels.groups > 1 ? 1 : 0;
  if (rank < lead + 3) return false;
  Dims sizes{channels.outputs, channels.inputs};
  if (lead == 1) sizes.insert(0, channels.groups);
  for (int64_t dim = lead + 2 - rank + matrix::kPlaces; dim < matrix::kPlaces; ++dim) {
    if (dim >= 0) sizes.push_back(channels.kernel[dim]);
  }
  const bool is_depthwise = lead == 1 && channels.outputs == 1 && channels.inputs == 1;
  const auto columns = static_cast<size_t>(is_depthwise ? 0 : lead);
  return lies_in_panels(weight, sizes, columns, static_cast<size_t>(lead) + 1);
}

const void* panels_of(const Tensor& weight, int64_t columns, int64_t depth) {
  Opaque& opaque = *weight.opaque;
  const std::lock_guard<std::mutex> lock(opaque.mutex);
  if (!opaque.panels) {
    if (is_of(weight, numbers_of(weight)) && lies_in_panels(weight, {columns, depth}, 0, 1)) return weight.raw();
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
    if (is_of(weight, geometry.numbers) &&
        lies_in_panels(weight, {geometry.groups, geometry.outputs, geometry.inputs, geometry.kernel})) {
      return weight.raw();
    }
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
