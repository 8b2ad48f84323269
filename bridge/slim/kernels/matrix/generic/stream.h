// Floats times a right side of fewer bits: a few rows while it is read, or as panels of floats for many. Included in
// each set's folder after vectors.h and narrow.h.
#pragma once

#include <cstdint>

#include "../kernels.h"
#include "bytes.h"
#include "pairs.h"

namespace slim::matrix {
namespace {

constexpr int kStreamedPanels = kStreamed / kPanel;

inline F as_floats(const int8_t* from) { return __builtin_convertvector(signed_bytes(from), F); }

// The columns of int8 are dotted with the rows one by one, so that weights are read in the order in which they lie:
// what a processor fetches ahead by itself. Several columns at once, each a page or so, took twice as long.
template <int R>
void dot_columns(const Stream& s, const Int8Columns& right) {
  constexpr int kParts = R <= 2 ? 4 : 2;  // sums of a row that do not wait for each other
  for (int64_t j = 0; j < s.columns; ++j) {
    const int8_t* column = right.data + (s.column + j) * s.depth;
    F sums[R][kParts] = {};
    const auto add = [&](int64_t k, int part) {
      const F w = as_floats(column + k);
      AOT_SLIM_UNROLL
      for (int r = 0; r < R; ++r) sums[r][part] += load<F>(s.left + r * s.row_stride + k) * w;
    };
    int64_t k = 0;
    for (; k + kParts * kLanes <= s.depth; k += kParts * kLanes) {
      AOT_SLIM_UNROLL
      for (int part = 0; part < kParts; ++part) add(k + part * kLanes, part);
    }
    for (; k + kLanes <= s.depth; k += kLanes) add(k, 0);
    AOT_SLIM_UNROLL  // a place that is not known would keep the sums in memory
        for (int r = 0; r < R; ++r) {
      F all_parts = sums[r][0];
      AOT_SLIM_UNROLL
      for (int part = 1; part < kParts; ++part) all_parts += sums[r][part];
      float sum = sum_of(all_parts);
      for (int64_t rest = k; rest < s.depth; ++rest) {
        sum += s.left[r * s.row_stride + rest] * static_cast<float>(column[rest]);
      }
      s.sums[r * kStreamed + j] = sum * right.scales[s.column + j];
    }
  }
}

void stream_int8(const Stream& s, const Int8Columns& right) {
  switch (s.rows) {
    case 1:
      return dot_columns<1>(s, right);
    case 2:
      return dot_columns<2>(s, right);
    case 3:
      return dot_columns<3>(s, right);
    default:
      return dot_columns<4>(s, right);
  }
}

void expand_int8(const Stream& s, const Int8Columns& right, PackFunction pack, float* panels) {
  alignas(64) uint32_t words[256 * kPanel];
  for (int64_t j = 0; j < s.columns; j += kPanel, panels += s.depth * kPanel) {
    const int64_t count = s.columns - j < kPanel ? s.columns - j : kPanel;
    const int8_t* from = right.data + (s.column + j) * s.depth;
    alignas(64) float scales[kPanel] = {};
    for (int64_t c = 0; c < count; ++c) scales[c] = right.scales[s.column + j + c];
    int64_t k = 0;
    while (k + 4 <= s.depth) {
      const int64_t some = (s.depth - k) / 4 < 256 ? (s.depth - k) / 4 : 256;
      pack(reinterpret_cast<const char*>(from + k), s.depth, count, some, kPanel, words);
      for (int64_t word = 0; word < some; ++word, k += 4) {
        for (int v = 0; v < kRegisters; ++v) {
          const U four = load<U>(words + word * kPanel + v * kLanes);
          const F scale = load<F>(scales + v * kLanes);
          AOT_SLIM_UNROLL
          for (int i = 0; i < 4; ++i) {
            const I number = (I)(four << (24 - 8 * i)) >> 24;
            store(panels + (k + i) * kPanel + v * kLanes, __builtin_convertvector(number, F) * scale);
          }
        }
      }
    }
    for (; k < s.depth; ++k) {
      for (int64_t c = 0; c < kPanel; ++c)
        panels[k * kPanel + c] = c < count ? static_cast<float>(from[c * s.depth + k]) * scales[c] : 0;
    }
  }
}

inline U bits_of(const uint8_t* from) { return (U)unsigned_bytes(from); }

// Four bits q as a float that is offset + q / unit. AVX-512 does it with a shift and one operation of three operands,
// which make them the highest bits of a mantissa; others convert.
#if AOT_SLIM_BYTES == 64
constexpr float kUnit = 16;
constexpr float kOffset = 1;
inline F low_number(U both) { return (F)(((both << 19) & 0x00780000) | 0x3f800000); }
inline F high_number(U both) { return (F)(((both << 15) & 0x00780000) | 0x3f800000); }
#else
constexpr float kUnit = 1;
constexpr float kOffset = 0;
inline F low_number(U both) { return __builtin_convertvector((I)(both & 15), F); }
inline F high_number(U both) { return __builtin_convertvector((I)(both >> 4), F); }
#endif

// Bytes ahead that are fetched: the prefetcher of a processor stops at the end of a page.
constexpr int64_t kStreamAhead = 2048;

// A whole block. (bits - 8) * scale + zero is x * 16 * scale + (zero - 24 * scale) for x = 1 + bits / 16; the second
// part is the same for all of a group.
template <int R, bool IsBfloat16>
void stream_block(const Stream& s, const Int4Blocks& right) {
  const uint8_t* from = right.data + s.column / 2 * s.depth;
  for (int64_t i = 0; i < R * kStreamed; ++i) s.sums[i] = 0;
  for (int64_t begin = 0; begin < s.depth; begin += right.group) {
    F sums[R][kStreamedPanels][kRegisters] = {};
    float all_of_row[R];
    for (int r = 0; r < R; ++r) {
      F some{};
      for (int64_t k = begin; k < begin + right.group; k += kLanes) some += load<F>(s.left + r * s.row_stride + k);
      all_of_row[r] = sum_of(some);
    }
    for (int64_t k = begin; k < begin + right.group; ++k, from += kStreamed / 2) {
      __builtin_prefetch(from + kStreamAhead, 0, 3);
      F x[R];
      AOT_SLIM_UNROLL
      for (int r = 0; r < R; ++r) x[r] = all(s.left[r * s.row_stride + k]);
      AOT_SLIM_UNROLL
      for (int half = 0; half < 2; ++half) {
        AOT_SLIM_UNROLL
        for (int v = 0; v < kRegisters; ++v) {
          const U both = bits_of(from + half * kPanel + v * kLanes);
          const F low = low_number(both);
          const F high = high_number(both);
          AOT_SLIM_UNROLL
          for (int r = 0; r < R; ++r) {
            sums[r][half][v] += x[r] * low;
            sums[r][half + 2][v] += x[r] * high;
          }
        }
      }
    }
    const int64_t pairs = begin / right.group * s.all_columns + s.column;
    AOT_SLIM_UNROLL  // a place that is not known would keep the sums in memory
        for (int p = 0; p < kStreamedPanels; ++p) {
      AOT_SLIM_UNROLL
      for (int v = 0; v < kRegisters; ++v) {
        const int at = p * static_cast<int>(kPanel) + v * kLanes;
        const Pair pair = load_pairs<IsBfloat16>(right.pairs, pairs + at);
        const F zero = pair.zero - (8 + kOffset * kUnit) * pair.scale;
        AOT_SLIM_UNROLL
        for (int r = 0; r < R; ++r) {
          float* to = s.sums + r * kStreamed + at;
          store(to, load<F>(to) + sums[r][p][v] * (kUnit * pair.scale) + zero * all_of_row[r]);
        }
      }
    }
  }
}

// The number of one column at one step, scaled.
inline float number_at(const Stream& s, const Int4Blocks& right, int64_t column, int64_t k) {
  const int64_t block = column / kStreamed * kStreamed;
  const int64_t inside = column - block;
  const int64_t width = s.all_columns - block < kStreamed ? s.all_columns - block : kStreamed;
  const uint8_t* step = right.data + block / 2 * s.depth + k * width / 2;
  const bool whole = width == kStreamed;
  const uint8_t both = step[whole ? inside % 32 : inside / 2];
  const int bits = (whole ? inside >= 32 : inside % 2 == 1) ? both >> 4 : both & 15;
  const int64_t at = 2 * (k / right.group * s.all_columns + column);
  float scale = 0;
  float zero = 0;
  if (right.is_bfloat16) {
    const auto* pairs = static_cast<const uint16_t*>(right.pairs) + at;
    const uint32_t wide[] = {static_cast<uint32_t>(pairs[0]) << 16, static_cast<uint32_t>(pairs[1]) << 16};
    __builtin_memcpy(&scale, wide, 4);
    __builtin_memcpy(&zero, wide + 1, 4);
  } else {
    scale = static_cast<const float*>(right.pairs)[at];
    zero = static_cast<const float*>(right.pairs)[at + 1];
  }
  return static_cast<float>(bits - 8) * scale + zero;
}

void stream_rest(const Stream& s, const Int4Blocks& right) {
  for (int64_t i = 0; i < s.rows * kStreamed; ++i) s.sums[i] = 0;
  for (int64_t k = 0; k < s.depth; ++k) {
    for (int64_t j = 0; j < s.columns; ++j) {
      const float number = number_at(s, right, s.column + j, k);
      for (int64_t r = 0; r < s.rows; ++r) s.sums[r * kStreamed + j] += s.left[r * s.row_stride + k] * number;
    }
  }
}

template <bool IsBfloat16>
void stream_blocks(const Stream& s, const Int4Blocks& right) {
  switch (s.rows) {
    case 1:
      return stream_block<1, IsBfloat16>(s, right);
    case 2:
      return stream_block<2, IsBfloat16>(s, right);
    case 3:
      return stream_block<3, IsBfloat16>(s, right);
    default:
      return stream_block<4, IsBfloat16>(s, right);
  }
}

void stream_int4(const Stream& s, const Int4Blocks& right) {
  if (s.columns < kStreamed) return stream_rest(s, right);
  if (right.is_bfloat16) return stream_blocks<true>(s, right);
  stream_blocks<false>(s, right);
}

// A panel of a whole block.
template <bool IsBfloat16>
void expand_panel(const Stream& s, const Int4Blocks& right, int64_t column, float* panel) {
  const int64_t p = column % kStreamed / kPanel;
  const uint8_t* from = right.data + column / kStreamed * kStreamed / 2 * s.depth + p % 2 * kPanel;
  for (int64_t begin = 0; begin < s.depth; begin += right.group) {
    for (int v = 0; v < kRegisters; ++v) {
      const int64_t pairs = begin / right.group * s.all_columns + column + v * kLanes;
      const Pair pair = load_pairs<IsBfloat16>(right.pairs, pairs);
      for (int64_t k = begin; k < begin + right.group; ++k) {
        const U both = bits_of(from + k * (kStreamed / 2) + v * kLanes);
        const U bits = p < 2 ? both & 15 : both >> 4;
        store(panel + k * kPanel + v * kLanes, __builtin_convertvector((I)bits - 8, F) * pair.scale + pair.zero);
      }
    }
  }
}

void expand_int4(const Stream& s, const Int4Blocks& right, float* panels) {
  const int64_t whole = s.all_columns / kStreamed * kStreamed;
  for (int64_t column = s.column; column < s.column + s.columns; column += kPanel, panels += s.depth * kPanel) {
    if (column < whole) {
      if (right.is_bfloat16) {
        expand_panel<true>(s, right, column, panels);
      } else {
        expand_panel<false>(s, right, column, panels);
      }
      continue;
    }
    for (int64_t k = 0; k < s.depth; ++k) {
      for (int64_t c = 0; c < kPanel; ++c)
        panels[k * kPanel + c] = column + c < s.all_columns ? number_at(s, right, column + c, k) : 0;
    }
  }
}

}  // namespace
}  // namespace slim::matrix
