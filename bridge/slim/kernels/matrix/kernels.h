// What an instruction set brings: functions for tiles, and what is done with their sums.
#pragma once

#include <cstdint>

#include "product.h"

namespace slim::matrix {

inline constexpr int kMostRows = 32;
inline constexpr int kMostPanels = 4;

// Panels are read once in a call and come from memory that no cache holds: while one group of panels is multiplied, a
// share of the next is fetched into the second-level cache, some lines every so many steps.
inline constexpr int64_t kFetchEvery = 8;

// A few rows of the left side times a few neighbouring panels. The left side is packed: of each step the words of all
// rows, one behind the other. A word holds as many numbers of a row as a word of a panel holds of a column. Or it lies
// where it is, in stretches of the depth whose steps follow one another in each row.
//
// Some tables want more than one word of a row together, `in_block` of them: [steps / in_block][rows][in_block], with
// zeros for steps that are missing in the last block.
struct Tile {
  const uint32_t* left;
  const char* right;
  int64_t steps;
  int64_t step_bytes;                 // from one step of a panel to the next
  int64_t panel_bytes;                // from one panel to the next
  const char* ahead;                  // what is needed later
  int64_t lines_ahead;                // of it to fetch, every kFetchEvery steps
  void* sums;                         // [rows][panels][16], float or int32
  bool adds = false;                  // to what is in `sums`
  const char* const* rows = nullptr;  // [stretches][rows], in place of `left`
  int64_t stretches = 1;              // of `steps` each
};

using TileFunction = void (*)(const Tile&);

struct TileTable {
  int rows;      // the most that a tile has
  int in_block;  // words of a row that are packed together
  // Gives back what functions keep for the next one in the same thread; null where they keep nothing.
  void (*release)();
  TileFunction of[kMostRows][kMostPanels];
  TileFunction in_place[kMostRows][kMostPanels];  // for rows that lie where they are; null where nobody asks for it

  // The most panels that a tile of so many rows takes.
  int panels(int64_t count) const {
    int most = kMostPanels;
    while (of[count - 1][most - 1] == nullptr) --most;
    return most;
  }
};

// Gives back at the end, by an exception too, what a table's functions keep: a thread whose tiles somebody else has
// given back meanwhile may not take them for shaped.
class Using {
 public:
  explicit Using(const TileTable& table) : release_(table.release) {}
  Using(const Using&) = delete;
  Using& operator=(const Using&) = delete;
  ~Using() {
    if (release_ != nullptr) release_();
  }

 private:
  void (*const release_)();
};

// Where the sums of a tile go: rows `row`.. and columns `column`.. of the result.
struct Place {
  const void* sums;
  int64_t stride;  // of the sums, in numbers
  int64_t row;
  int64_t column;
  int64_t rows;
  int64_t columns;
};

using FinishFunction = void (*)(const Place&, const Result&);

// Writes the words of `rows` rows at each place one behind the other, [words][width]; rows from `rows` to `width` are
// zeros. The words of a row follow one another.
using PackFunction = void (*)(const char* from, int64_t row_bytes, int64_t rows, int64_t words, int64_t width,
                              uint32_t* to);

// The same for rows that lie anywhere.
using GatherFunction = void (*)(const char* const* rows_at, int64_t rows, int64_t words, int64_t width, uint32_t* to);

// Neighbouring places of a convolution whose groups have one channel each: what each channel sums up over the taps.
inline constexpr int kMostPlaces = 8;  // that are summed up at once
struct Strip {
  const float* const* at;       // of each tap: channel 0 of what it is multiplied with at the first place
  const float* const* weights;  // of each tap: the first 16 channels
  int64_t taps;
  int64_t place_step;  // from what one place is made of to what the next is, in numbers
  int64_t panel_step;  // from the weights of 16 channels to those of the next 16
  int64_t places;
  int64_t channels;
  float* sums;  // [places][sums_stride]; whole panels
  int64_t sums_stride;
};

using StripFunction = void (*)(const Strip&);

// One row of an LSTM: gates [4][hidden] (input, forget, candidate, output), `cell` is replaced, `state` written.
using CellFunction = void (*)(const float* gates, int64_t hidden, float* cell, float* state);

// Sums of bytes [rows][width], width in whole panels, as floats: scale * (sum - excess), both one a column.
using WidenFunction = void (*)(const void* sums, int64_t rows, int64_t width, const int32_t* excess,
                               const float* scales, float* to);

// Floats as bytes; `from` has room for whole registers. NaN becomes the least.
struct Bytes {
  float inverse_scale;
  float zero_point;
  bool is_signed;
};
using NarrowFunction = void (*)(const float* from, int64_t count, const Bytes& how, void* to);

// Up to kMostStreamed rows of floats times a right side of fewer bits that is read once, where it lies: its columns
// from `column` on, kStreamed of them or what is left. Sums are [rows][kStreamed].
inline constexpr int64_t kStreamed = 64;
inline constexpr int64_t kMostStreamed = 4;
// A row of floats as whole numbers of signed bytes: x = unit * (65536 a + 256 b + c), the unit that of a group of the
// depth.
inline constexpr int kDigits = 3;
struct Digits {
  int8_t* bytes;  // [kDigits][depth]
  float* units;   // [groups]
  float* sums;    // [groups], of a group's floats
};

struct Stream {
  const float* left;
  int64_t row_stride;
  int64_t rows;
  int64_t depth;
  int64_t all_columns;
  int64_t column;
  int64_t columns;
  float* sums;
  const Digits* digits = nullptr;  // of each row, where the function takes those
};
using StreamInt8Function = void (*)(const Stream&, const Int8Columns&);
using StreamInt4Function = void (*)(const Stream&, const Int4Blocks&);

// The same columns as float32 in panels [columns / 16][depth][16].
using ExpandInt8Function = void (*)(const Stream&, const Int8Columns&, PackFunction pack, float* panels);
using ExpandInt4Function = void (*)(const Stream&, const Int4Blocks&, float* panels);

// Finite numbers of a row as digits, groups in whole registers; false where those of a group are too small or too
// great.
using SplitFunction = bool (*)(const float* row, int64_t depth, int64_t group, const Digits& to);

// Where there are instructions for sums of bytes; whole blocks of columns alone.
struct ByDigits {
  SplitFunction split;
  StreamInt4Function stream_int4;
};

// Whether one of some numbers, in whole panels, is none.
using HasNanFunction = bool (*)(const float* from, int64_t count);

using AddProductsFunction = void (*)(const void* bytes, bool is_signed, int32_t zero_point, const int8_t* weights,
                                     int64_t count, int32_t* sums);

// Between float32 and numbers of two bytes.
struct HalfFunctions {
  void (*widen)(const uint16_t* from, int64_t count, float* to);
  void (*narrow)(const float* from, int64_t count, uint16_t* to);
  // A panel of pairs, [depth / 2][16][2], as one of float32, [depth][16].
  void (*expand)(const uint32_t* pairs, int64_t depth, float* to);
};

struct Kernels {
  TileTable float32;
  TileTable bfloat16;
  TileTable bytes;  // uint8 times int8
  FinishFunction finish;
  PackFunction pack;
  WidenFunction widen;
  NarrowFunction narrow;
  AddProductsFunction add_products;
  StreamInt8Function stream_int8;
  StreamInt4Function stream_int4;
  ExpandInt8Function expand_int8;
  ExpandInt4Function expand_int4;
  GatherFunction gather;
  StripFunction depthwise;
  CellFunction lstm;
  HasNanFunction has_nan;
  HalfFunctions brain_floats;
  HalfFunctions half_floats;
  ByDigits by_digits = {nullptr, nullptr};
  // For more than a few rows, where there are registers for whole tiles and the kernel lets this process use them.
  const TileTable* bfloat16_by_tiles = nullptr;
  const TileTable* bytes_by_tiles = nullptr;

  // For products of so many rows.
  const TileTable& table(Numbers numbers, int64_t rows) const;
};

extern const Kernels kBaseline;
extern const Kernels kAvx2;
extern const Kernels kAvx512;
extern const TileTable kAvx512Bfloat16;  // with instructions for them
extern const TileTable kAvx512Bytes;
extern const ByDigits kAvx512Digits;
extern const TileTable kAmxBfloat16;
extern const TileTable kAmxBytes;

}  // namespace slim::matrix
