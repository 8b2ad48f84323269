#include "product.h"

#include <omp.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>

#include "table.h"
#include "tensor/parallel.h"

namespace slim::matrix {
namespace {

constexpr int64_t kLine = 64;

// Multiplications below which another thread costs more than it brings.
constexpr int64_t kWorthAThread = 1 << 18;

// Of the packed left side: what stays in the second-level cache or close by while panels pass.
constexpr int64_t kMostLeftBytes = 3 << 19;

int64_t divided(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Memory for the time of a call; small amounts do without the heap.
class Scratch {
 public:
  explicit Scratch(int64_t words) {
    if (words <= kInline) return;
    memory_.reset(static_cast<uint32_t*>(::operator new(static_cast<size_t>(words) * 4, std::align_val_t(kLine))));
  }
  uint32_t* words() { return memory_ ? memory_.get() : inline_; }

 private:
  struct Release {
    void operator()(uint32_t* words) const { ::operator delete(words, std::align_val_t(kLine)); }
  };
  static constexpr int64_t kInline = 4096;
  alignas(kLine) uint32_t inline_[kInline];
  std::unique_ptr<uint32_t, Release> memory_;
};

// Rows in tiles of nearly the same height: the last of a short tile would cost as much as a whole one.
struct Tiling {
  Tiling(int64_t rows, int64_t most) : count(divided(rows, most)), height(rows / count), taller(rows % count) {}

  int64_t begin(int64_t tile) const { return tile * height + std::min(tile, taller); }
  int64_t rows(int64_t tile) const { return height + (tile < taller ? 1 : 0); }
  int64_t highest() const { return height + (taller > 0 ? 1 : 0); }

  int64_t count;
  int64_t height;
  int64_t taller;  // so many tiles at the beginning have a row more
};

// How the work is cut: blocks of tiles, of which the left side is packed at once, times groups of panels.
struct Cut {
  Cut(const TileTable& table, int64_t rows, int64_t panels, int64_t depth)
      : tiles(rows, table.rows),
        panels_in_group(std::min<int64_t>(table.panels(tiles.highest()), panels)),
        groups(divided(panels, panels_in_group)) {
    const int64_t in_cache = std::max<int64_t>(1, kMostLeftBytes / std::max<int64_t>(depth * 4 * tiles.highest(), 1));
    blocks = divided(tiles.count, in_cache);
    // Few groups: the rows are divided among threads as well.
    const int64_t threads = omp_in_parallel() ? 1 : omp_get_max_threads();
    if (threads > 1 && groups * blocks < 2 * threads) blocks = std::min(tiles.count, divided(2 * threads, groups));
  }

  Tiling tiles;
  int64_t panels_in_group;
  int64_t groups;
  int64_t blocks;
};

void fill_panels(const Kernels& kernels, const Right& right, int64_t columns, int64_t depth, float* panels) {
  for (int64_t column = 0; column < columns; column += kPanel, panels += depth * kPanel) {
    const float* from = right.data + column * right.column_stride;
    const int64_t there = std::min(kPanel, columns - column);
    if (right.step_stride == 1) {
      kernels.pack(reinterpret_cast<const char*>(from), right.column_stride * 4, there, depth, kPanel,
                   reinterpret_cast<uint32_t*>(panels));
      continue;
    }
    for (int64_t k = 0; k < depth; ++k, from += right.step_stride) {
      float* to = panels + k * kPanel;
      if (right.column_stride == 1 && there == kPanel) {
        std::memcpy(to, from, kPanel * sizeof(float));
      } else {
        for (int64_t i = 0; i < kPanel; ++i) to[i] = i < there ? from[i * right.column_stride] : 0;
      }
    }
  }
}

class Product {
 public:
  Product(const Kernels& kernels, const Left& left, const float* panels, const Right& right, int64_t rows,
          int64_t columns, int64_t depth, const Result& result)
      : kernels_(kernels),
        left_(left),
        panels_(panels),
        right_(right),
        columns_(columns),
        depth_(depth),
        result_(result),
        cut_(kernels.float32, rows, divided(columns, kPanel), depth) {
    const int64_t tasks = cut_.blocks * cut_.groups;
    const int64_t grain = std::max<int64_t>(1, kWorthAThread * tasks / std::max<int64_t>(rows * columns * depth, 1));
    parallel_for(0, tasks, grain, [&](int64_t begin, int64_t end) { run(begin, end); });
  }

 private:
  int64_t panel_bytes() const { return depth_ * kPanel * 4; }
  int64_t first_tile(int64_t block) const { return cut_.tiles.count * block / cut_.blocks; }

  // A row that lies as the kernels read it is not packed.
  bool is_packed() const { return cut_.tiles.count == 1 && cut_.tiles.height == 1 && left_.step_stride == 1; }

  void run(int64_t begin, int64_t end) const {
    const int64_t most_tiles = divided(cut_.tiles.count, cut_.blocks);
    Scratch packed(is_packed() ? 0 : most_tiles * cut_.tiles.highest() * depth_);
    Scratch made(panels_ ? 0 : cut_.panels_in_group * kPanel * depth_);
    int64_t at = -1;
    for (int64_t task = begin; task < end; ++task) {
      const int64_t block = task / cut_.groups;
      if (block != at && !is_packed()) pack(block, packed.words());
      at = block;
      multiply_group(block, task % cut_.groups, is_packed() ? nullptr : packed.words(), made.words());
    }
  }

  void pack(int64_t block, uint32_t* to) const {
    for (int64_t tile = first_tile(block); tile < first_tile(block + 1); ++tile) {
      const int64_t rows = cut_.tiles.rows(tile);
      const float* from = left_.data + cut_.tiles.begin(tile) * left_.row_stride;
      if (left_.step_stride == 1) {
        kernels_.pack(reinterpret_cast<const char*>(from), left_.row_stride * 4, rows, depth_, rows, to);
      } else {
        auto* numbers = reinterpret_cast<float*>(to);
        for (int64_t k = 0; k < depth_; ++k) {
          for (int64_t i = 0; i < rows; ++i) numbers[k * rows + i] = from[i * left_.row_stride + k * left_.step_stride];
        }
      }
      to += rows * depth_;
    }
  }

  void multiply_group(int64_t block, int64_t group, const uint32_t* left, uint32_t* made) const {
    alignas(kLine) float sums[kMostRows * kMostPanels * kPanel];
    const int64_t column = group * cut_.panels_in_group * kPanel;
    const int64_t columns = std::min(columns_ - column, cut_.panels_in_group * kPanel);
    const int64_t panels = divided(columns, kPanel);
    const int64_t first = first_tile(block);
    const int64_t tiles = first_tile(block + 1) - first;
    const char* right = reinterpret_cast<const char*>(panels_) + column / kPanel * panel_bytes();
    if (panels_ == nullptr) {
      const Right part{right_.data + column * right_.column_stride, right_.step_stride, right_.column_stride};
      fill_panels(kernels_, part, columns, depth_, reinterpret_cast<float*>(made));
      right = reinterpret_cast<const char*>(made);
    }
    const char* next = right + panels * panel_bytes();
    const int64_t share = divided(panels * panel_bytes(), tiles);
    Tile tile{left, right, depth_, kPanel * 4, panel_bytes(), nullptr, 0, sums};
    if (left == nullptr) tile.left = reinterpret_cast<const uint32_t*>(left_.data);
    if (panels_ != nullptr && group + 1 < cut_.groups)
      tile.lines_ahead = divided(share / kLine, std::max<int64_t>(1, depth_ / kFetchEvery));
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t rows = cut_.tiles.rows(first + t);
      tile.ahead = next + t * share;
      kernels_.float32.of[rows - 1][panels - 1](tile);
      kernels_.finish_float32({sums, panels * kPanel, cut_.tiles.begin(first + t), column, rows, columns}, result_);
      tile.left += rows * depth_;
    }
  }

  const Kernels& kernels_;
  const Left left_;
  const float* const panels_;
  const Right right_;
  const int64_t columns_;
  const int64_t depth_;
  const Result result_;
  const Cut cut_;
};

}  // namespace

int64_t panel_numbers(int64_t columns, int64_t depth) { return divided(columns, kPanel) * kPanel * depth; }

void pack_panels(const Right& right, int64_t columns, int64_t depth, float* panels) {
  const Kernels& kernels = kernels_of(best_isa());
  const int64_t count = divided(columns, kPanel);
  parallel_for(0, count, divided(kGrain, std::max<int64_t>(depth * kPanel, 1)), [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kPanel;
    const Right part{right.data + first * right.column_stride, right.step_stride, right.column_stride};
    fill_panels(kernels, part, std::min(columns, end * kPanel) - first, depth, panels + first * depth);
  });
}

void multiply(const Left& left, const float* panels, int64_t rows, int64_t columns, int64_t depth, const Result& result,
              Isa isa) {
  if (rows > 0 && columns > 0) Product(kernels_of(isa), left, panels, {}, rows, columns, depth, result);
}

void multiply(const Left& left, const Right& right, int64_t rows, int64_t columns, int64_t depth, const Result& result,
              Isa isa) {
  if (rows > 0 && columns > 0) Product(kernels_of(isa), left, nullptr, right, rows, columns, depth, result);
}

}  // namespace slim::matrix
