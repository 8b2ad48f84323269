// Tiles of 16 rows of 64 bytes, of bfloat16 or bytes, multiplied at once. A panel is read as it lies: 16 of its steps
// are one tile.
#include <immintrin.h>

#include "../kernels.h"

namespace slim::matrix {
namespace {

constexpr int kSteps = 16;  // of a tile of a panel; words in a row of the left side
constexpr int kHigh = 16;   // rows of a tile
constexpr int64_t kRowBytes = 64;

// Which of the eight tiles holds what. The instructions want literal numbers:
//   0..3  sums: of two times two tiles 0, 1 above 2, 3, of one row of them 0..3
//   4, 5  the left side, the upper and the lower rows
//   6, 7  panels
// Rows of the sums and of the left side are those that are there, so that nothing beyond them is read or written.
struct alignas(64) Shape {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

struct Shapes {
  constexpr Shapes() {
    for (int rows = 1; rows <= 2 * kHigh; ++rows) {
      Shape& shape = of[rows - 1];
      const int above = rows < kHigh ? rows : kHigh;
      const int below = rows - above;
      for (int tile = 0; tile < 8; ++tile) shape.row_bytes[tile] = kRowBytes;
      for (int tile = 0; tile < 4; ++tile)
        shape.rows[tile] = static_cast<uint8_t>(tile < 2 || below == 0 ? above : below);
      shape.rows[4] = static_cast<uint8_t>(above);
      shape.rows[5] = static_cast<uint8_t>(below == 0 ? above : below);
      shape.rows[6] = shape.rows[7] = kSteps;
    }
  }
  Shape of[2 * kHigh];
};
constexpr Shapes kShapes;

// The rows that the shape of this thread's tiles is for; 0 where they have none. Taking another one waits for all
// stores.
thread_local int shaped = 0;

void take_shape(int rows) {
  if (rows == shaped) return;
  _tile_loadconfig(&kShapes.of[rows - 1]);
  shaped = rows;
}

void release() {
  _tile_release();
  shaped = 0;
}

struct Halves {
  static constexpr bool kFloats = true;
};
struct Quads {
  static constexpr bool kFloats = false;
};

#define AOT_SLIM_ADD(sum, left, right)  \
  do {                                  \
    if constexpr (Element::kFloats) {   \
      _tile_dpbf16ps(sum, left, right); \
    } else {                            \
      _tile_dpbusd(sum, left, right);   \
    }                                   \
  } while (false)

// Of `High` tiles of rows times `P` panels: a step of 16 words.
template <class Element, int High, int P>
inline __attribute__((always_inline)) void add_products_of(const char* left, const char* const (&panels)[P],
                                                           int64_t step_bytes) {
  _tile_loadd(4, left, kRowBytes);
  _tile_loadd(6, panels[0], step_bytes);
  AOT_SLIM_ADD(0, 4, 6);
  if constexpr (P > 1) {
    _tile_loadd(7, panels[1], step_bytes);
    AOT_SLIM_ADD(1, 4, 7);
  }
  if constexpr (High == 2) {
    _tile_loadd(5, left + kHigh * kRowBytes, kRowBytes);
    AOT_SLIM_ADD(2, 5, 6);
    if constexpr (P > 1) AOT_SLIM_ADD(3, 5, 7);
  }
  if constexpr (P > 2) {
    _tile_loadd(6, panels[2], step_bytes);
    AOT_SLIM_ADD(2, 4, 6);
  }
  if constexpr (P > 3) {
    _tile_loadd(7, panels[3], step_bytes);
    AOT_SLIM_ADD(3, 4, 7);
  }
}

// Calls f(number of the tile, where its sums lie) for each tile of sums.
#define AOT_SLIM_EACH_SUM(instruction)                                                              \
  do {                                                                                              \
    instruction(0, sums, stride);                                                                   \
    if constexpr (P > 1) instruction(1, sums + kRowBytes, stride);                                  \
    if constexpr (High == 2 || P > 2)                                                               \
      instruction(2, High == 2 ? sums + kHigh * stride : sums + 2 * kRowBytes, stride);             \
    if constexpr (High == 2 ? P > 1 : P > 3)                                                        \
      instruction(3, High == 2 ? sums + kHigh * stride + kRowBytes : sums + 3 * kRowBytes, stride); \
  } while (false)

template <class Element, int High, int P>
void multiply_rows(const Tile& tile, int rows) {
  take_shape(rows);
  char* const sums = static_cast<char*>(tile.sums);
  constexpr int64_t stride = P * kRowBytes;
  if (tile.adds) {
    AOT_SLIM_EACH_SUM(_tile_loadd);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  const char* left = reinterpret_cast<const char*>(tile.left);
  const char* ahead = tile.ahead;
  const char* panels[P];
  for (int p = 0; p < P; ++p) panels[p] = tile.right + p * tile.panel_bytes;
  int64_t steps = tile.steps;
  for (; steps >= kSteps; steps -= kSteps) {
    for (int64_t line = 0; line < tile.lines_ahead * (kSteps / kFetchEvery); ++line, ahead += 64)
      __builtin_prefetch(ahead, 0, 2);
    add_products_of<Element, High, P>(left, panels, tile.step_bytes);
    left += rows * kRowBytes;
    for (int p = 0; p < P; ++p) panels[p] += kSteps * tile.step_bytes;
  }
  if (steps > 0) {
    // The rest of a panel, with zeros for what is not there.
    alignas(64) char rest[P][kSteps * kRowBytes] = {};
    for (int p = 0; p < P; ++p) {
      for (int64_t step = 0; step < steps; ++step)
        __builtin_memcpy(rest[p] + step * kRowBytes, panels[p] + step * tile.step_bytes, kRowBytes);
      panels[p] = rest[p];
    }
    __atomic_signal_fence(__ATOMIC_SEQ_CST);  // the compiler does not see that tiles are loaded from there
    add_products_of<Element, High, P>(left, panels, kRowBytes);
  }
  AOT_SLIM_EACH_SUM(_tile_stored);
}

#undef AOT_SLIM_ADD
#undef AOT_SLIM_EACH_SUM

template <class Element, int R, int P>
void multiply_tile(const Tile& tile) {
  multiply_rows<Element, (R > kHigh ? 2 : 1), P>(tile, R);
}

template <class Element>
struct Tiles {
  template <int R>
  static constexpr void fill(TileFunction (&of)[kMostRows][kMostPanels]) {
    of[R - 1][0] = multiply_tile<Element, R, 1>;
    of[R - 1][1] = multiply_tile<Element, R, 2>;
    if constexpr (R <= kHigh) {
      of[R - 1][2] = multiply_tile<Element, R, 3>;
      of[R - 1][3] = multiply_tile<Element, R, 4>;
    }
    if constexpr (R < 2 * kHigh) fill<R + 1>(of);
  }
  static constexpr TileTable table() {
    TileTable table{};
    table.rows = 2 * kHigh;
    table.in_block = kSteps;
    table.release = release;
    fill<1>(table.of);
    return table;
  }
};

}  // namespace

const TileTable kAmxBfloat16 = Tiles<Halves>::table();
const TileTable kAmxBytes = Tiles<Quads>::table();

}  // namespace slim::matrix
