// Products of matrices: panels of the right side's columns, and what is done with each sum before it is stored.
//
// A panel holds 16 columns of the right side, all steps of the depth one behind the other: [columns / 16][steps][16].
// AVX-512 reads it as one register a step, AVX2 as two, the baseline as four, and AMX 16 steps as one tile; so a weight
// that lies in panels in a file is one mapped copy for all of them. A step is a 32-bit word of each column: one
// float32, two bfloat16 or four int8. Columns and numbers that are missing at the end are zeros.
#pragma once

#include <cstddef>
#include <cstdint>

namespace slim::matrix {

inline constexpr int64_t kPanel = 16;

// Instruction sets, from the least.
enum class Isa { kBaseline, kAvx2, kAvx512, kAmx };

// The best that this machine has; AOT_SLIM_ISA (baseline, avx2, avx512, amx) lowers it, for tests and for doubters.
Isa best_isa();

// Whether bfloat16 is multiplied with instructions for it.
bool has_bfloat16(Isa isa = best_isa());

enum class Unary {
  kNone,
  kRelu,
  kLeakyRelu,  // alpha: the slope below 0
  kSigmoid,
  kTanh,
  kSwish,
  kHardswish,
  kHardsigmoid,
  kHardtanh,  // from alpha to beta
  kGelu,
  kGeluTanh,
};

enum class Binary { kNone, kAdd, kSubtract, kMultiply };

// What becomes of the sums: out = unary(binary(scale * sum + bias + keep * out, other)).
struct Result {
  float* out = nullptr;  // [rows, columns]
  int64_t row_stride = 0;
  float scale = 1;
  float keep = 0;               // 0: what `out` holds does not matter
  const float* bias = nullptr;  // one a column
  Binary binary = Binary::kNone;
  const float* other = nullptr;
  int64_t other_row_stride = 0;
  Unary unary = Unary::kNone;
  float alpha = 0;
  float beta = 0;
};

// How sums of bytes become floats, and bytes again where those are wanted:
// x = scale of the column * (sum - zero point * sum of the column's weights), then what `result` says, then
// x / bytes_scale + bytes_zero_point, rounded to even and kept in the range.
struct Quantised {
  const float* scales = nullptr;  // one a column: what one of the sum's units is
  int32_t zero_point = 0;         // of the left side
  const int32_t* column_sums = nullptr;
  Result result;          // without `scale` and `keep`; `out` is not written where bytes are made
  void* bytes = nullptr;  // [rows, columns] of uint8, or of int8
  int64_t bytes_row_stride = 0;
  bool is_signed = false;
  float bytes_scale = 1;
  int32_t bytes_zero_point = 0;
};

// A product of bfloat16 that becomes bfloat16, rounded once: what `result` says, but for `out` and `other`, which are
// bfloat16 here, and without `keep`.
struct Bfloat16Result {
  Result result;
  void* out = nullptr;  // [rows, columns]
  int64_t row_stride = 0;
  const void* other = nullptr;
  int64_t other_row_stride = 0;
};

// What the two sides hold, and what a word holds as many of.
enum class Numbers {
  kFloat32,   // one a word
  kBfloat16,  // two; summed in float32
  kInt8,      // four, with a left side of int8; summed in int32
  kUint8,     // four, with a left side of uint8 and a right one of int8; summed in int32
  kFloat16,   // two, with a left side of float32; summed in float32
};

// The left side: number (row, k) is at data[row * row_stride + k * step_stride].
struct Left {
  const void* data;
  int64_t row_stride;
  int64_t step_stride;
};

// The right side as it lies in an ordinary matrix: number (k, column) at data[k * step_stride + column *
// column_stride].
struct Right {
  const void* data;
  int64_t step_stride;
  int64_t column_stride;
};

// Bytes in the panels of a right side.
int64_t panel_bytes(Numbers numbers, int64_t columns, int64_t depth);

// Fills panels from an ordinary matrix.
void pack_panels(Numbers numbers, const Right& right, int64_t columns, int64_t depth, void* panels);

// A product's sizes: [rows, depth] times [depth, columns]. Any may be 0.
struct Sizes {
  int64_t rows;
  int64_t columns;
  int64_t depth;
};

// The product of float32, of bfloat16, or of float32 with float16, into float32. The result must not overlap the sides.
void multiply(Numbers numbers, const Left& left, const void* panels, const Sizes& sizes, const Result& result,
              Isa isa = best_isa());

// The same where the right side is not in panels; they are made on the way, or done without.
void multiply(Numbers numbers, const Left& left, const Right& right, const Sizes& sizes, const Result& result,
              Isa isa = best_isa());

// The product of bfloat16 into bfloat16.
void multiply(const Left& left, const void* panels, const Sizes& sizes, const Bfloat16Result& result,
              Isa isa = best_isa());
void multiply(const Left& left, const Right& right, const Sizes& sizes, const Bfloat16Result& result,
              Isa isa = best_isa());

// The product of bytes into int32 [rows, columns], exact but for sums that overflow, which wrap around.
void multiply(Numbers numbers, const Left& left, const void* panels, const Sizes& sizes, int32_t* out,
              int64_t row_stride, Isa isa = best_isa());
void multiply(Numbers numbers, const Left& left, const Right& right, const Sizes& sizes, int32_t* out,
              int64_t row_stride, Isa isa = best_isa());

// The product of bytes into floats or bytes.
void multiply(Numbers numbers, const Left& left, const void* panels, const Sizes& sizes, const Quantised& result,
              Isa isa = best_isa());

// A right side of int8 with a scale for each column: [columns][depth].
struct Int8Columns {
  const int8_t* data;
  const float* scales;
};

// A right side of four bits as torch packs it with AVX-512, for columns in a multiple of 16: blocks of 64 columns,
// [block][depth][32 bytes], where byte i holds columns i and i + 32 in its lower and upper half; a last block of fewer
// columns holds neighbouring pairs. A number is (bits - 8) * scale + zero, of its group of the depth.
struct Int4Blocks {
  const uint8_t* data;
  int64_t group;      // a divisor of the depth
  const void* pairs;  // [depth / group][columns][2]: scale and zero, float32 or bfloat16
  bool is_bfloat16;
};

// The product of float32 with such a side; neighbouring steps of the left side follow one another.
void multiply(const Left& left, const Int8Columns& right, const Sizes& sizes, const Result& result,
              Isa isa = best_isa());
void multiply(const Left& left, const Int4Blocks& right, const Sizes& sizes, const Result& result,
              Isa isa = best_isa());

// What becomes of rows `row`.. of sums of bytes that were made elsewhere: [rows][stride].
void finish(const int32_t* sums, int64_t stride, int64_t row, int64_t rows, int64_t columns, const Quantised& result,
            Isa isa = best_isa());

// sums[i] += (bytes[i] - zero_point) * weights[i]
void add_products(const void* bytes, bool is_signed, int32_t zero_point, const int8_t* weights, int64_t count,
                  int32_t* sums, Isa isa = best_isa());

// What becomes of one row of sums that were made elsewhere. `sums` has room for whole panels.
void finish(const float* sums, int64_t row, int64_t columns, const Result& result);

// A step of an LSTM on rows whose gates have been summed up, [rows][4][hidden]: of the input, of what is forgotten, the
// candidate, of the output. `cells` [rows, hidden] are replaced, `states` [rows, hidden] written.
void lstm_cells(const float* gates, int64_t rows, int64_t hidden, float* cells, float* states, Isa isa = best_isa());

}  // namespace slim::matrix
