// What products and convolutions share: memory for the time of a call, and rows cut into tiles.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace slim::matrix {

inline constexpr int64_t kLine = 64;

inline int64_t divided(int64_t a, int64_t b) { return (a + b - 1) / b; }

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

}  // namespace slim::matrix
