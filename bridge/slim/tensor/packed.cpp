#include "tensor/packed.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "tensor/iterate.h"

namespace slim {

Blocked parse_layout(const std::vector<uint8_t>& bytes) {
  // oneDNN 3's struct, and the number of a convolution's groups, which torch writes behind it. A later oneDNN may have
  // more to say; none of it is asked for here.
  constexpr size_t kWhole = 772;
  constexpr size_t kMaxDims = 12;
  constexpr int32_t kBlocked = 2;
  size_t at = 4;  // behind the kind of the struct
  auto read32 = [&] {
    int32_t value = 0;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    at += sizeof value;
    return value;
  };
  auto read_dims = [&](size_t count) {
    Dims values(count);
    std::memcpy(values.data(), bytes.data() + at, count * sizeof(int64_t));
    at += kMaxDims * sizeof(int64_t);
    return values;
  };
  require(bytes.size() >= kWhole, "a oneDNN memory descriptor of ", bytes.size(), " bytes is too short");
  Blocked layout;
  const int32_t rank = read32();
  require(rank > 0 && rank <= static_cast<int32_t>(kMaxDims), "a oneDNN memory descriptor of ", rank, " dims");
  const auto dims = static_cast<size_t>(rank);
  layout.dims = read_dims(dims);
  layout.type = read32();
  at += 4;
  layout.padded = read_dims(dims);
  const Dims offsets = read_dims(dims);
  int64_t offset = 0;
  std::memcpy(&offset, bytes.data() + at, sizeof offset);
  at += sizeof offset;
  const int32_t kind = read32();
  at += 4;
  layout.strides = read_dims(dims);
  const int32_t blocks = read32();
  at += 4;
  require(kind == kBlocked && offset == 0 && offsets == Dims(dims) && blocks >= 0 &&
              blocks <= static_cast<int32_t>(kMaxDims),
          "a constant lies in a layout of oneDNN that cannot be read: kind ", kind, ", offset ", offset);
  layout.inner_blocks = read_dims(static_cast<size_t>(blocks));
  layout.inner_dims = read_dims(static_cast<size_t>(blocks));
  for (const int64_t d : layout.inner_dims) require(d >= 0 && d < rank, "a oneDNN memory descriptor names dim ", d);
  for (const int64_t size : layout.inner_blocks) require(size > 0, "a oneDNN memory descriptor has a block of ", size);
  return layout;
}

namespace {

// What each index along a dim adds to an element's place: a blocked layout is a sum over dims.
std::vector<std::vector<int64_t>> places(const Blocked& layout) {
  std::vector<std::vector<int64_t>> table(layout.dims.size());
  for (size_t d = 0; d < layout.dims.size(); ++d) {
    for (int64_t i = 0; i < layout.dims[d]; ++i) {
      int64_t place = 0;
      int64_t rest = i;
      int64_t step = 1;  // of the inner block at hand; the last block varies fastest
      for (size_t b = layout.inner_blocks.size(); b-- > 0;) {
        if (layout.inner_dims[b] == static_cast<int64_t>(d)) {
          place += rest % layout.inner_blocks[b] * step;
          rest /= layout.inner_blocks[b];
        }
        step *= layout.inner_blocks[b];
      }
      table[d].push_back(place + rest * layout.strides[d]);
    }
  }
  return table;
}

}  // namespace

Dims packed_sizes(const Tensor& tensor) { return parse_layout(tensor.opaque->descriptor).dims; }

Tensor unpacked(const Tensor& tensor) {
  const Blocked layout = parse_layout(tensor.opaque->descriptor);
  const auto table = places(layout);
  Tensor plain = empty(layout.dims, tensor.dtype);
  const size_t last = layout.dims.size() - 1;
  const int64_t inner = layout.dims[last];
  const int64_t outer = inner == 0 ? 0 : plain.numel() / inner;
  visit_size(plain.itemsize(), [&](auto type) {
    using T = typename decltype(type)::type;
    const T* from = tensor.data<T>();
    T* to = plain.data<T>();
    parallel_for(0, outer, std::max<int64_t>(1, kGrain / std::max<int64_t>(inner, 1)), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        int64_t base = 0;
        int64_t rest = row;
        for (size_t d = last; d-- > 0;) {
          base += table[d][rest % layout.dims[d]];
          rest /= layout.dims[d];
        }
        for (int64_t i = 0; i < inner; ++i) to[row * inner + i] = from[base + table[last][i]];
      }
    });
  });
  return plain;
}

}  // namespace slim
