#include "product.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "table.h"
#include "threads/parallel.h"
#include "tiling.h"

namespace slim::matrix {
namespace {

// Multiplications below which another thread costs more than it brings.
constexpr int64_t kWorthAThread = 1 << 18;

// Of the packed left side: what stays in the second-level cache or close by while panels pass.
constexpr int64_t kMostLeftBytes = 3 << 19;

// How the work is cut: blocks of tiles, of which the left side is packed at once, times groups of panels.
struct Cut {
  Cut(const TileTable& table, int64_t rows, int64_t panels, int64_t words)
      : tiles(rows, table.rows),
        panels_in_group(std::min<int64_t>(table.panels(tiles.highest()), panels)),
        groups(divided(panels, panels_in_group)) {
    const int64_t in_cache = std::max<int64_t>(1, kMostLeftBytes / std::max<int64_t>(words * 4 * tiles.highest(), 1));
    blocks = divided(tiles.count, in_cache);
    // Few groups: the rows are divided among threads as well.
    const int64_t threads = aot_slim_threads();
    if (threads > 1 && groups * blocks < 2 * threads) blocks = std::min(tiles.count, divided(2 * threads, groups));
  }

  Tiling tiles;
  int64_t panels_in_group;
  int64_t groups;
  int64_t blocks;
};

// Of a number of the right side.
int64_t bytes_of(Numbers numbers) {
  if (numbers == Numbers::kFloat32) return 4;
  return numbers == Numbers::kBfloat16 || numbers == Numbers::kFloat16 ? 2 : 1;
}

int64_t words_of(Numbers numbers, int64_t depth) { return divided(depth, 4 / bytes_of(numbers)); }

// One side as lines of numbers, rows of the left or columns of the right: strides are in bytes.
struct Lines {
  Lines(const void* from, int64_t line_stride, int64_t step_stride, int64_t size)
      : data(static_cast<const char*>(from)), line(line_stride * size), step(step_stride * size), bytes(size) {}

  const char* data;
  int64_t line;
  int64_t step;
  int64_t bytes;  // of a number
};

// Packs `count` lines from `first` on in blocks of a line's words, [blocks][count][in_block]; what is missing is zeros.
void pack_blocks(const Lines& lines, int64_t first, int64_t count, int64_t depth, int64_t in_block, uint32_t* to) {
  const int64_t numbers = in_block * 4 / lines.bytes;
  for (int64_t k = 0; k < depth; k += numbers) {
    const int64_t there = std::min(numbers, depth - k);
    const char* from = lines.data + first * lines.line + k * lines.step;
    for (int64_t i = 0; i < count; ++i, from += lines.line, to += in_block) {
      char* at = reinterpret_cast<char*>(to);
      if (there < numbers) std::memset(at, 0, static_cast<size_t>(in_block) * 4);
      if (lines.step == lines.bytes) {
        std::memcpy(at, from, static_cast<size_t>(there * lines.bytes));
        continue;
      }
      for (int64_t n = 0; n < there; ++n)
        std::memcpy(at + n * lines.bytes, from + n * lines.step, static_cast<size_t>(lines.bytes));
    }
  }
}

// Packs `count` lines from `first` on, [words][width]; what is missing is zeros.
void pack_lines(const Kernels& kernels, const Lines& lines, int64_t first, int64_t count, int64_t depth, int64_t width,
                uint32_t* to) {
  const int64_t in_word = 4 / lines.bytes;
  const char* from = lines.data + first * lines.line;
  int64_t done = 0;
  if (lines.step == lines.bytes) {
    done = depth / in_word;
    kernels.pack(from, lines.line, count, done, width, to);
  } else if (lines.bytes == 4 && lines.line == 4 && count == kPanel && width == kPanel) {
    for (; done < depth; ++done) std::memcpy(to + done * kPanel, from + done * lines.step, kPanel * 4);
  }
  if (lines.bytes == 2 && lines.line == 2) {
    for (; (done + 1) * in_word <= depth; ++done) {
      const auto* even = reinterpret_cast<const uint16_t*>(from + 2 * done * lines.step);
      const auto* odd = reinterpret_cast<const uint16_t*>(from + (2 * done + 1) * lines.step);
      uint32_t* at = to + done * width;
      for (int64_t i = 0; i < count; ++i) at[i] = even[i] | static_cast<uint32_t>(odd[i]) << 16;
      std::fill(at + count, at + width, 0);
    }
  }
  for (int64_t word = done; word * in_word < depth; ++word) {
    uint32_t* at = to + word * width;
    std::memset(at, 0, static_cast<size_t>(width) * 4);
    const int64_t there = std::min(in_word, depth - word * in_word);
    for (int64_t k = 0; k < there; ++k) {
      const char* number = from + (word * in_word + k) * lines.step;
      if (lines.bytes == 4 && lines.line == 4) {
        std::memcpy(at, number, static_cast<size_t>(count) * 4);
        continue;
      }
      char* place = reinterpret_cast<char*>(at) + k * lines.bytes;
      for (int64_t i = 0; i < count; ++i)
        std::memcpy(place + i * 4, number + i * lines.line, static_cast<size_t>(lines.bytes));
    }
  }
}

void fill_panels(const Kernels& kernels, const Lines& lines, int64_t columns, int64_t depth, uint32_t* panels) {
  const int64_t words = divided(depth, 4 / lines.bytes);
  for (int64_t column = 0; column < columns; column += kPanel, panels += words * kPanel)
    pack_lines(kernels, lines, column, std::min(kPanel, columns - column), depth, kPanel, panels);
}

// Where panels are made of a right side that is no matrix.
struct NoExpansion {
  void operator()(int64_t, int64_t, float*) const {}
};

// A product; `Finish` does something with the sums of a tile, `Expand` makes the panels of columns `column`...
template <class Finish, class Expand = NoExpansion>
class Product {
 public:
  Product(Numbers numbers, const Kernels& kernels, const Left& left, const void* panels, const Right& right,
          const Sizes& sizes, const Finish& finish, const Expand& expand = {})
      : numbers_(numbers),
        kernels_(kernels),
        table_(kernels.table(numbers, sizes.rows)),
        left_(left.data, left.row_stride, left.step_stride, bytes_of(numbers)),
        panels_(static_cast<const char*>(panels)),
        right_(right.data, right.column_stride, right.step_stride, bytes_of(numbers)),
        sizes_(sizes),
        words_(words_of(numbers, sizes.depth)),
        left_words_(divided(words_, table_.in_block) * table_.in_block),
        finish_(finish),
        expand_(expand),
        cut_(table_, sizes.rows, divided(sizes.columns, kPanel), words_) {
    const int64_t tasks = cut_.blocks * cut_.groups;
    const int64_t work = std::max<int64_t>(sizes.rows * sizes.columns * sizes.depth, 1);
    const int64_t grain = std::max<int64_t>(1, kWorthAThread * tasks / work);
    parallel_for(0, tasks, grain, [&](int64_t begin, int64_t end) { run(begin, end); });
  }

 private:
  static constexpr bool kExpands = !std::is_same_v<Expand, NoExpansion>;

  int64_t panel_bytes() const { return words_ * kPanel * 4; }
  int64_t first_tile(int64_t block) const { return cut_.tiles.count * block / cut_.blocks; }

  // A row that lies as the kernels read it is not packed.
  bool is_packed() const {
    return cut_.tiles.count == 1 && cut_.tiles.height == 1 && numbers_ == Numbers::kFloat32 && left_.step == 4;
  }
  // For few rows, whole panels are read where they lie.
  bool is_right_read_in_place() const {
    return panels_ == nullptr && !kExpands && cut_.tiles.count == 1 && numbers_ == Numbers::kFloat32 &&
           right_.line == 4;
  }

  void run(int64_t begin, int64_t end) const {
    const int64_t most_tiles = divided(cut_.tiles.count, cut_.blocks);
    Scratch packed(is_packed() ? 0 : most_tiles * cut_.tiles.highest() * left_words_);
    Scratch made(panels_ != nullptr ? 0 : cut_.panels_in_group * kPanel * words_);
    const Using used(table_);
    int64_t at = -1;
    for (int64_t task = begin; task < end; ++task) {
      const int64_t block = task / cut_.groups;
      if (block != at && !is_packed()) pack(block, packed.words());
      at = block;
      const auto* left = is_packed() ? reinterpret_cast<const uint32_t*>(left_.data) : packed.words();
      multiply_group(block, task % cut_.groups, left, made.words());
    }
  }

  void pack(int64_t block, uint32_t* to) const {
    for (int64_t tile = first_tile(block); tile < first_tile(block + 1); ++tile) {
      const int64_t rows = cut_.tiles.rows(tile);
      if (table_.in_block > 1) {
        pack_blocks(left_, cut_.tiles.begin(tile), rows, sizes_.depth, table_.in_block, to);
      } else {
        pack_lines(kernels_, left_, cut_.tiles.begin(tile), rows, sizes_.depth, rows, to);
      }
      if (numbers_ == Numbers::kInt8) {
        for (int64_t i = 0; i < rows * left_words_; ++i) to[i] ^= 0x80808080;  // by 128 more: kernels want uint8
      }
      to += rows * left_words_;
    }
  }

  void multiply_group(int64_t block, int64_t group, const uint32_t* left, uint32_t* made) const {
    alignas(kLine) uint32_t sums[kMostRows * kMostPanels * kPanel];
    alignas(kLine) uint32_t excess[kMostPanels * kPanel];
    const int64_t column = group * cut_.panels_in_group * kPanel;
    const int64_t columns = std::min(sizes_.columns - column, cut_.panels_in_group * kPanel);
    const int64_t panels = divided(columns, kPanel);
    const int64_t first = first_tile(block);
    const int64_t tiles = first_tile(block + 1) - first;
    Tile tile{left, nullptr, words_, kPanel * 4, panel_bytes(), nullptr, 0, sums};
    if (panels_ != nullptr) {
      tile.right = panels_ + column / kPanel * panel_bytes();
      if (group + 1 < cut_.groups)
        tile.lines_ahead = divided(panels * panel_bytes() / tiles / kLine, std::max<int64_t>(1, words_ / kFetchEvery));
    } else if constexpr (kExpands) {
      expand_(column, columns, reinterpret_cast<float*>(made));
      tile.right = reinterpret_cast<const char*>(made);
    } else if (is_right_read_in_place() && columns == panels * kPanel) {
      tile.right = right_.data + column * right_.line;
      tile.step_bytes = right_.step;
      tile.panel_bytes = kPanel * 4;
    } else {
      Lines lines = right_;
      lines.data += column * lines.line;
      fill_panels(kernels_, lines, columns, sizes_.depth, made);
      tile.right = reinterpret_cast<const char*>(made);
    }
    const char* next = tile.right + panels * panel_bytes();
    if (numbers_ == Numbers::kInt8) sum_columns(tile, panels, excess);
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t rows = cut_.tiles.rows(first + t);
      tile.ahead = next + panels * panel_bytes() / tiles * t;
      table_.of[rows - 1][panels - 1](tile);
      if (numbers_ == Numbers::kInt8) {
        for (int64_t i = 0; i < rows * panels * kPanel; ++i) sums[i] -= excess[i % (panels * kPanel)];
      }
      finish_(Place{sums, panels * kPanel, cut_.tiles.begin(first + t), column, rows, columns});
      tile.left += rows * left_words_;
    }
  }

  // What 128 more in each number of the left side adds to a column: a product with a row of 128s.
  void sum_columns(Tile tile, int64_t panels, uint32_t* to) const {
    Scratch row(left_words_);
    std::fill(row.words(), row.words() + left_words_, 0x80808080);
    tile.left = row.words();
    tile.sums = to;
    tile.lines_ahead = 0;
    table_.of[0][panels - 1](tile);
  }

  const Numbers numbers_;
  const Kernels& kernels_;
  const TileTable& table_;
  const Lines left_;
  const char* const panels_;
  const Lines right_;
  const Sizes sizes_;
  const int64_t words_;       // of a column in a panel
  const int64_t left_words_;  // of a row that is packed
  const Finish& finish_;
  const Expand& expand_;
  const Cut cut_;
};

// Makes panels of float32 of columns of a half type, in panels of pairs or not.
class PairExpansion {
 public:
  PairExpansion(const Kernels& kernels, const HalfFunctions& functions, const void* panels, const Right& right,
                const Sizes& sizes)
      : kernels_(kernels),
        functions_(functions),
        panels_(static_cast<const uint32_t*>(panels)),
        right_(right.data, right.column_stride, right.step_stride, bytes_of(Numbers::kFloat16)),
        depth_(sizes.depth),
        words_(words_of(Numbers::kFloat16, sizes.depth) * kPanel) {}

  void operator()(int64_t column, int64_t columns, float* to) const {
    const int64_t count = divided(columns, kPanel);
    Scratch made(panels_ == nullptr ? count * words_ : 0);
    const uint32_t* pairs = panels_ == nullptr ? made.words() : panels_ + column / kPanel * words_;
    if (panels_ == nullptr) {
      Lines some = right_;
      some.data += column * some.line;
      fill_panels(kernels_, some, columns, depth_, made.words());
    }
    for (int64_t i = 0; i < count; ++i, pairs += words_, to += depth_ * kPanel) functions_.expand(pairs, depth_, to);
  }

 private:
  const Kernels& kernels_;
  const HalfFunctions& functions_;
  const uint32_t* panels_;
  Lines right_;
  int64_t depth_;
  int64_t words_;  // in a panel
};

// Rows of bfloat16 as float32, [rows][depth].
void widen_rows(const HalfFunctions& functions, const Left& left, const Sizes& sizes, float* to) {
  const auto* from = static_cast<const uint16_t*>(left.data);
  parallel_for(0, sizes.rows, divided(kGrain, std::max<int64_t>(sizes.depth, 1)), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const uint16_t* at = from + row * left.row_stride;
      if (left.step_stride == 1) {
        functions.widen(at, sizes.depth, to + row * sizes.depth);
        continue;
      }
      for (int64_t k = 0; k < sizes.depth; ++k)
        functions.widen(at + k * left.step_stride, 1, to + row * sizes.depth + k);
    }
  });
}

// A product of floating point numbers. Where no instructions multiply a half type, it is widened a group of columns at
// a time; fewer rows of bfloat16 than pay for that are multiplied pair by pair.
template <class Finish>
void multiply_with(Numbers numbers, const Left& left, const void* panels, const Right& right, const Sizes& sizes,
                   const Finish& finish, Isa isa) {
  constexpr int64_t kRowsWorthWidening = 6;
  const Kernels& kernels = kernels_of(isa);
  if (numbers == Numbers::kFloat16) {
    const PairExpansion expansion(kernels, kernels.half_floats, panels, right, sizes);
    Product(Numbers::kFloat32, kernels, left, nullptr, {}, sizes, finish, expansion);
  } else if (numbers == Numbers::kBfloat16 && !has_bfloat16(isa) && sizes.rows >= kRowsWorthWidening) {
    Scratch wide(sizes.rows * sizes.depth);
    auto* rows = reinterpret_cast<float*>(wide.words());
    widen_rows(kernels.brain_floats, left, sizes, rows);
    const PairExpansion expansion(kernels, kernels.brain_floats, panels, right, sizes);
    Product(Numbers::kFloat32, kernels, {rows, sizes.depth, 1}, nullptr, {}, sizes, finish, expansion);
  } else {
    Product(numbers, kernels, left, panels, right, sizes, finish);
  }
}

void multiply_floats(Numbers numbers, const Left& left, const void* panels, const Right& right, const Sizes& sizes,
                     const Result& result, Isa isa) {
  if (sizes.rows <= 0 || sizes.columns <= 0) return;
  const Kernels& kernels = kernels_of(isa);
  const auto finish = [&](const Place& place) { kernels.finish(place, result); };
  multiply_with(numbers, left, panels, right, sizes, finish, isa);
}

// Finishes rows of sums in float32 and rounds them.
class Bfloat16Finish {
 public:
  Bfloat16Finish(const Kernels& kernels, const Bfloat16Result& how) : kernels_(kernels), how_(how) {}

  void operator()(const Place& place) const {
    alignas(kLine) float floats[kMostRows * kMostPanels * kPanel];
    alignas(kLine) float other[kMostRows * kMostPanels * kPanel];
    Result result = how_.result;
    result.out = floats;
    result.row_stride = place.stride;
    if (result.bias != nullptr) result.bias += place.column;
    if (result.binary != Binary::kNone) {
      const uint16_t* from =
          static_cast<const uint16_t*>(how_.other) + place.row * how_.other_row_stride + place.column;
      for (int64_t i = 0; i < place.rows; ++i)
        kernels_.brain_floats.widen(from + i * how_.other_row_stride, place.columns, other + i * place.stride);
      result.other = other;
      result.other_row_stride = place.stride;
    }
    kernels_.finish({place.sums, place.stride, 0, 0, place.rows, place.columns}, result);
    uint16_t* to = static_cast<uint16_t*>(how_.out) + place.row * how_.row_stride + place.column;
    for (int64_t i = 0; i < place.rows; ++i)
      kernels_.brain_floats.narrow(floats + i * place.stride, place.columns, to + i * how_.row_stride);
  }

 private:
  const Kernels& kernels_;
  const Bfloat16Result& how_;
};

void multiply_halves(const Left& left, const void* panels, const Right& right, const Sizes& sizes,
                     const Bfloat16Result& result, Isa isa) {
  if (sizes.rows <= 0 || sizes.columns <= 0) return;
  const Kernels& kernels = kernels_of(isa);
  multiply_with(Numbers::kBfloat16, left, panels, right, sizes, Bfloat16Finish(kernels, result), isa);
}

void multiply_bytes(Numbers numbers, const Left& left, const void* panels, const Right& right, const Sizes& sizes,
                    int32_t* out, int64_t row_stride, Isa isa) {
  if (sizes.rows <= 0 || sizes.columns <= 0) return;
  const auto finish = [&](const Place& place) {
    for (int64_t i = 0; i < place.rows; ++i) {
      std::memcpy(out + (place.row + i) * row_stride + place.column,
                  static_cast<const int32_t*>(place.sums) + i * place.stride, static_cast<size_t>(place.columns) * 4);
    }
  };
  Product(numbers, kernels_of(isa), left, panels, right, sizes, finish);
}

// Finishes rows of sums that lie in panels [rows][stride], those of columns `column`..
class QuantisedFinish {
 public:
  QuantisedFinish(const Kernels& kernels, const Quantised& how) : kernels_(kernels), how_(how) {}

  void operator()(const Place& place) const {
    alignas(kLine) float scales[kMostPanels * kPanel];
    alignas(kLine) int32_t excess[kMostPanels * kPanel];
    alignas(kLine) float floats[kMostRows * kMostPanels * kPanel];
    for (int64_t j = 0; j < place.stride; ++j) {
      const bool there = j < place.columns;
      scales[j] = there ? how_.scales[place.column + j] : 0;
      excess[j] = !there || how_.zero_point == 0
                      ? 0
                      : static_cast<int32_t>(static_cast<uint32_t>(how_.zero_point) *
                                             static_cast<uint32_t>(how_.column_sums[place.column + j]));
    }
    kernels_.widen(place.sums, place.rows, place.stride, excess, scales, floats);
    Result result = how_.result;
    const bool narrows = how_.bytes != nullptr;
    result.out = narrows ? floats : result.out + place.row * result.row_stride + place.column;
    if (narrows) result.row_stride = place.stride;
    if (result.bias != nullptr) result.bias += place.column;
    if (result.binary != Binary::kNone) result.other += place.row * result.other_row_stride + place.column;
    kernels_.finish({floats, place.stride, 0, 0, place.rows, place.columns}, result);
    if (!narrows) return;
    const Bytes bytes{1 / how_.bytes_scale, static_cast<float>(how_.bytes_zero_point), how_.is_signed};
    char* to = static_cast<char*>(how_.bytes) + place.row * how_.bytes_row_stride + place.column;
    for (int64_t i = 0; i < place.rows; ++i, to += how_.bytes_row_stride)
      kernels_.narrow(floats + i * place.stride, place.columns, bytes, to);
  }

 private:
  const Kernels& kernels_;
  const Quantised& how_;
};

// Rows of a left side as digits, where a set has instructions for those and the numbers allow it.
class DigitsOfRows {
 public:
  DigitsOfRows(SplitFunction split, const Left& left, const Sizes& sizes, int64_t group)
      : memory_(split == nullptr ? 0 : sizes.rows * words(sizes.depth, group)) {
    if (split == nullptr) return;
    are_there_ = true;
    for (int64_t row = 0; row < sizes.rows && are_there_; ++row) {
      uint32_t* at = memory_.words() + row * words(sizes.depth, group);
      auto* units = reinterpret_cast<float*>(at + kDigits * sizes.depth / 4);
      digits_[row] = {reinterpret_cast<int8_t*>(at), units, units + sizes.depth / group};
      are_there_ =
          split(static_cast<const float*>(left.data) + row * left.row_stride, sizes.depth, group, digits_[row]);
    }
  }

  // Null where there are none.
  const Digits* get() const { return are_there_ ? digits_ : nullptr; }

 private:
  static int64_t words(int64_t depth, int64_t group) { return kDigits * depth / 4 + 2 * (depth / group); }

  Scratch memory_;
  Digits digits_[kMostStreamed] = {};
  bool are_there_ = false;
};

// Whether a left side is a few rows of finite numbers, none so large (2^97) that a product with a weight before its
// offset is taken off could be infinite.
bool is_streamed(const Left& left, const Sizes& sizes) {
  constexpr uint32_t kExponent = 0x7f800000;
  constexpr uint32_t kTooLarge = 0x70000000;
  if (sizes.rows > kMostStreamed) return false;
  uint32_t special = 0;
  for (int64_t row = 0; row < sizes.rows; ++row) {
    const float* from = static_cast<const float*>(left.data) + row * left.row_stride;
    for (int64_t k = 0; k < sizes.depth; ++k) {
      uint32_t bits = 0;
      std::memcpy(&bits, from + k, sizeof bits);
      special |= static_cast<uint32_t>((bits & kExponent) >= kTooLarge);
    }
  }
  return special == 0;
}

// Few rows are multiplied while the right side is read; for more, panels are made of a group of columns at a time. So
// they are for rows that are not finite: what is read as it lies is multiplied before its offset is taken off, and
// infinity less infinity is none.
template <class Compressed, class StreamIt, class ExpandIt>
void multiply_compressed(const Kernels& kernels, const Left& left, const Compressed& right, const Sizes& sizes,
                         const Result& result, const Digits* digits, const StreamIt& stream_it,
                         const ExpandIt& expand_it) {
  if (sizes.rows <= 0 || sizes.columns <= 0) return;
  Stream stream{static_cast<const float*>(left.data),
                left.row_stride,
                sizes.rows,
                sizes.depth,
                sizes.columns,
                0,
                0,
                nullptr,
                digits};
  if (is_streamed(left, sizes)) {
    const int64_t tasks = divided(sizes.columns, kStreamed);
    const int64_t grain = divided(kWorthAThread, std::max<int64_t>(sizes.rows * kStreamed * sizes.depth, 1));
    parallel_for(0, tasks, grain, [&](int64_t begin, int64_t end) {
      alignas(kLine) float sums[kMostStreamed * kStreamed];
      Stream some = stream;
      some.sums = sums;
      for (int64_t task = begin; task < end; ++task) {
        some.column = task * kStreamed;
        some.columns = std::min(kStreamed, sizes.columns - some.column);
        stream_it(some, right);
        kernels.finish({sums, kStreamed, 0, some.column, sizes.rows, some.columns}, result);
      }
    });
    return;
  }
  struct Expansion {
    const Stream& stream;
    const Compressed& right;
    const ExpandIt& expand_it;
    void operator()(int64_t column, int64_t columns, float* panels) const {
      Stream some = stream;
      some.column = column;
      some.columns = columns;
      expand_it(some, right, panels);
    }
  };
  const auto finish = [&](const Place& place) { kernels.finish(place, result); };
  Product(Numbers::kFloat32, kernels, left, nullptr, {}, sizes, finish, Expansion{stream, right, expand_it});
}

}  // namespace

int64_t panel_bytes(Numbers numbers, int64_t columns, int64_t depth) {
  return divided(columns, kPanel) * kPanel * words_of(numbers, depth) * 4;
}

void pack_panels(Numbers numbers, const Right& right, int64_t columns, int64_t depth, void* panels) {
  const Kernels& kernels = kernels_of(best_isa());
  const Lines lines(right.data, right.column_stride, right.step_stride, bytes_of(numbers));
  const int64_t grain = divided(kGrain, std::max<int64_t>(depth * kPanel, 1));
  parallel_for(0, divided(columns, kPanel), grain, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kPanel;
    Lines part = lines;
    part.data += first * lines.line;
    fill_panels(kernels, part, std::min(columns, end * kPanel) - first, depth,
                static_cast<uint32_t*>(panels) + first * words_of(numbers, depth));
  });
}

void multiply(Numbers numbers, const Left& left, const void* panels, const Sizes& sizes, const Result& result,
              Isa isa) {
  multiply_floats(numbers, left, panels, {}, sizes, result, isa);
}

void multiply(Numbers numbers, const Left& left, const Right& right, const Sizes& sizes, const Result& result,
              Isa isa) {
  multiply_floats(numbers, left, nullptr, right, sizes, result, isa);
}

void multiply(const Left& left, const void* panels, const Sizes& sizes, const Bfloat16Result& result, Isa isa) {
  multiply_halves(left, panels, {}, sizes, result, isa);
}

void multiply(const Left& left, const Right& right, const Sizes& sizes, const Bfloat16Result& result, Isa isa) {
  multiply_halves(left, nullptr, right, sizes, result, isa);
}

void multiply(Numbers numbers, const Left& left, const void* panels, const Sizes& sizes, int32_t* out,
              int64_t row_stride, Isa isa) {
  multiply_bytes(numbers, left, panels, {}, sizes, out, row_stride, isa);
}

void multiply(Numbers numbers, const Left& left, const Right& right, const Sizes& sizes, int32_t* out,
              int64_t row_stride, Isa isa) {
  multiply_bytes(numbers, left, nullptr, right, sizes, out, row_stride, isa);
}

void multiply(Numbers numbers, const Left& left, const void* panels, const Sizes& sizes, const Quantised& result,
              Isa isa) {
  if (sizes.rows <= 0 || sizes.columns <= 0) return;
  const Kernels& kernels = kernels_of(isa);
  Product(numbers, kernels, left, panels, {}, sizes, QuantisedFinish(kernels, result));
}

void finish(const int32_t* sums, int64_t stride, int64_t row, int64_t rows, int64_t columns, const Quantised& result,
            Isa isa) {
  constexpr int64_t kMost = kMostPanels * kPanel;
  const QuantisedFinish finish_some(kernels_of(isa), result);
  alignas(kLine) int32_t some[kMost] = {};
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; j += kMost) {
      const int64_t count = std::min(kMost, columns - j);
      std::memcpy(some, sums + i * stride + j, static_cast<size_t>(count) * 4);
      finish_some({some, divided(count, kPanel) * kPanel, row + i, j, 1, count});
    }
  }
}

void multiply(const Left& left, const Int8Columns& right, const Sizes& sizes, const Result& result, Isa isa) {
  const Kernels& kernels = kernels_of(isa);
  const auto expand = [&](const Stream& stream, const Int8Columns& columns, float* panels) {
    kernels.expand_int8(stream, columns, kernels.pack, panels);
  };
  multiply_compressed(kernels, left, right, sizes, result, nullptr, kernels.stream_int8, expand);
}

void multiply(const Left& left, const Int4Blocks& right, const Sizes& sizes, const Result& result, Isa isa) {
  const Kernels& kernels = kernels_of(isa);
  const bool by_digits = kernels.by_digits.split != nullptr && is_streamed(left, sizes);
  const DigitsOfRows digits(by_digits ? kernels.by_digits.split : nullptr, left, sizes, right.group);
  const auto stream = [&](const Stream& some, const Int4Blocks& blocks) {
    const bool fits = some.digits != nullptr && some.columns == kStreamed;
    (fits ? kernels.by_digits.stream_int4 : kernels.stream_int4)(some, blocks);
  };
  multiply_compressed(kernels, left, right, sizes, result, digits.get(), stream, kernels.expand_int4);
}

void add_products(const void* bytes, bool is_signed, int32_t zero_point, const int8_t* weights, int64_t count,
                  int32_t* sums, Isa isa) {
  kernels_of(isa).add_products(bytes, is_signed, zero_point, weights, count, sums);
}

void finish(const float* sums, int64_t row, int64_t columns, const Result& result) {
  kernels_of(best_isa()).finish({sums, 0, row, 0, 1, columns}, result);
}

void lstm_cells(const float* gates, int64_t rows, int64_t hidden, float* cells, float* states, Isa isa) {
  constexpr int64_t kWorth = 1024;  // numbers of a state below which another thread costs more than it brings
  const Kernels& kernels = kernels_of(isa);
  parallel_for(0, rows, divided(kWorth, std::max<int64_t>(hidden, 1)), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      kernels.lstm(gates + row * 4 * hidden, hidden, cells + row * hidden, states + row * hidden);
  });
}

}  // namespace slim::matrix
