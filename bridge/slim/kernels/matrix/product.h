// Products of matrices: panels of the right side's columns, and what is done with each sum before it is stored.
//
// A panel holds 16 columns of the right side, all steps of the depth one behind the other: [columns / 16][steps][16].
// AVX-512 reads it as one register a step, AVX2 as two, and the baseline as four; so a weight that lies in panels in a
// file is one mapped copy for all of them. A step is a 32-bit word of each column: one float32, two bfloat16 or four
// int8. Columns and numbers that are missing at the end are zeros.
#pragma once

#include <cstddef>
#include <cstdint>

namespace slim::matrix {

inline constexpr int64_t kPanel = 16;

// Instruction sets, from the least.
enum class Isa { kBaseline, kAvx2, kAvx512 };

// The best that this machine has; AOT_SLIM_ISA (baseline, avx2, avx512) lowers it, for tests and for doubters.
Isa best_isa();

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

// The left side: element (row, k) is at data[row * row_stride + k * step_stride].
struct Left {
  const float* data;
  int64_t row_stride;
  int64_t step_stride;
};

// The right side as it lies in an ordinary matrix: element (k, column) at data[k * step_stride + column *
// column_stride].
struct Right {
  const float* data;
  int64_t step_stride;
  int64_t column_stride;
};

// Numbers in the panels of a right side.
int64_t panel_numbers(int64_t columns, int64_t depth);

// Fills panels of 16-byte aligned memory from an ordinary matrix.
void pack_panels(const Right& right, int64_t columns, int64_t depth, float* panels);

// left [rows, depth] times right [depth, columns]. Any size may be 0. The result must not overlap the others.
void multiply(const Left& left, const float* panels, int64_t rows, int64_t columns, int64_t depth, const Result& result,
              Isa isa = best_isa());

// The same where the right side is not in panels; they are made on the way, or done without.
void multiply(const Left& left, const Right& right, int64_t rows, int64_t columns, int64_t depth, const Result& result,
              Isa isa = best_isa());

}  // namespace slim::matrix
