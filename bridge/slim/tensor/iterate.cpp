#include "tensor/iterate.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

namespace slim {
namespace {

// The order of dims, fastest first, in which torch's TensorIterator walks these operands: by strides, the first operand
// that tells two dims apart deciding. Insertion sort as in torch, because the relation is not a strict order.
Dims memory_order(const Dims& shape, const Dims* strides, size_t operands) {
  const auto rank = static_cast<int64_t>(shape.size());
  Dims order(shape.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  std::reverse(order.begin(), order.end());
  // > 0: `a` must come after `b`; < 0: before; 0: no operand tells.
  auto compare = [&](int64_t a, int64_t b) {
    for (size_t i = 0; i < operands; ++i) {
      const int64_t stride_a = strides[i][a];
      const int64_t stride_b = strides[i][b];
      if (stride_a == 0 || stride_b == 0) continue;
      if (stride_a != stride_b) return stride_a < stride_b ? -1 : 1;
      if (shape[a] > shape[b]) return 1;
    }
    return 0;
  };
  for (int64_t i = 1; i < rank; ++i) {
    int64_t moving = i;
    for (int64_t j = i - 1; j >= 0; --j) {
      const int order_of = compare(order[j], order[moving]);
      if (order_of < 0) break;
      if (order_of > 0) {
        std::swap(order[j], order[moving]);
        moving = j;
      }
    }
  }
  return order;
}

// Byte strides after broadcasting to `shape`: 0 where a size of 1 is repeated.
Dims broadcast_strides(const Tensor& operand, const Dims& shape) {
  Dims strides = expand(operand, shape).strides;
  const auto itemsize = static_cast<int64_t>(operand.itemsize());
  for (int64_t& stride : strides) stride *= itemsize;
  return strides;
}

}  // namespace

namespace detail {

LoopDims plan_loop(const Tensor* const* operands, size_t count, const Dims& shape) {
  std::array<Dims, 4> strides;
  for (size_t i = 0; i < count; ++i) strides[i] = broadcast_strides(*operands[i], shape);
  LoopDims loop;
  for (const int64_t d : memory_order(shape, strides.data(), count)) {
    if (shape[d] == 1) continue;
    bool merges = !loop.sizes.empty();
    for (size_t i = 0; merges && i < count; ++i) {
      merges = strides[i][d] == loop.sizes.back() * loop.strides[i].back();
    }
    if (merges) {
      loop.sizes[loop.sizes.size() - 1] *= shape[d];
      continue;
    }
    loop.sizes.push_back(shape[d]);
    for (size_t i = 0; i < count; ++i) loop.strides[i].push_back(strides[i][d]);
  }
  if (loop.sizes.empty()) {
    loop.sizes.push_back(1);
    for (size_t i = 0; i < count; ++i) {
      // One element; its own size as stride lets the contiguous path take it.
      loop.strides[i].push_back(static_cast<int64_t>(operands[i]->itemsize()));
    }
  }
  return loop;
}

void walk(const LoopDims& dims, char* const* bases, size_t operands, int64_t total, int64_t grain, Row row,
          const void* inner) {
  const size_t rank = dims.sizes.size();
  parallel_for(0, total, grain, [&](int64_t begin, int64_t end) {
    Dims index(rank);
    std::array<char*, 4> at{};
    std::array<int64_t, 4> stride{};
    int64_t rest = begin;
    for (size_t i = 0; i < operands; ++i) {
      at[i] = bases[i];
      stride[i] = dims.strides[i][0];
    }
    for (size_t d = 0; d < rank; ++d) {
      index[d] = rest % dims.sizes[d];
      rest /= dims.sizes[d];
      for (size_t i = 0; i < operands; ++i) at[i] += index[d] * dims.strides[i][d];
    }
    while (true) {
      const int64_t n = std::min(dims.sizes[0] - index[0], end - begin);
      row(inner, at.data(), stride.data(), n);
      begin += n;
      if (begin == end) return;
      // The innermost dim is done: back to its start, and one step in the next that has room.
      for (size_t i = 0; i < operands; ++i) at[i] -= index[0] * stride[i];
      index[0] = 0;
      for (size_t d = 1; d < rank; ++d) {
        if (++index[d] < dims.sizes[d]) {
          for (size_t i = 0; i < operands; ++i) at[i] += dims.strides[i][d];
          break;
        }
        for (size_t i = 0; i < operands; ++i) at[i] -= (dims.sizes[d] - 1) * dims.strides[i][d];
        index[d] = 0;
      }
    }
  });
}

}  // namespace detail

Dims elementwise_strides(std::initializer_list<const Tensor*> operands, const Dims& shape) {
  // Torch's short cuts come first: they differ from the general rule where sizes of 1 make strides ambiguous.
  const Tensor* first = *operands.begin();
  auto all = [&](auto&& holds) { return std::all_of(operands.begin(), operands.end(), holds); };
  if (all([&](const Tensor* t) { return t->sizes == shape; })) {
    if (all([](const Tensor* t) { return t->is_contiguous(); })) return contiguous_strides(shape);
    if (all([](const Tensor* t) { return t->is_contiguous(MemoryFormat::kChannelsLast); })) {
      return strides_of(shape, MemoryFormat::kChannelsLast);
    }
    if (first->is_dense() && all([&](const Tensor* t) { return t->strides == first->strides; })) return first->strides;
  }
  std::vector<Dims> strides;
  for (const Tensor* operand : operands) strides.push_back(broadcast_strides(*operand, shape));
  Dims result(shape.size());
  int64_t stride = 1;
  for (const int64_t d : memory_order(shape, strides.data(), strides.size())) {
    result[d] = stride;
    stride *= shape[d];
  }
  return result;
}

Tensor elementwise_output(std::initializer_list<const Tensor*> operands, ScalarType dtype) {
  Dims shape = (*operands.begin())->sizes;
  for (const Tensor* operand : operands) shape = broadcast(shape, operand->sizes);
  return empty_strided(shape, elementwise_strides(operands, shape), dtype);
}

}  // namespace slim
