// The inner loop of all products: rows of the left side times panels of the right. Included in each set's folder after
// vectors.h.
//
// An `Element` says what is multiplied:
//   using Sum                       the register that sums up: F or I
//   kParts                          into how many registers a word's numbers are taken apart
//   Sum add(Sum, U left, U right)   adds the products of the numbers that each of the 32-bit lanes holds
#pragma once

#include <cstdint>

#include "../kernels.h"

namespace slim::matrix {
namespace {

template <class Element, int R, int P, bool InPlace>
void multiply_tile(const Tile& tile) {
  using Sum = typename Element::Sum;
  Sum sums[R][P][kRegisters] = {};
  if (tile.adds) {
    AOT_SLIM_UNROLL
    for (int r = 0; r < R; ++r) {
      AOT_SLIM_UNROLL
      for (int p = 0; p < P; ++p) {
        AOT_SLIM_UNROLL
        for (int v = 0; v < kRegisters; ++v)
          sums[r][p][v] = load<Sum>(static_cast<const uint32_t*>(tile.sums) + (r * P + p) * kPanel + v * kLanes);
      }
    }
  }
  const uint32_t* left = tile.left;
  const char* right = tile.right;
  const char* ahead = tile.ahead;
  const char* rows[R] = {};
  int64_t at = 0;  // in each row, in bytes
  const auto step = [&] {
    U panel[P][kRegisters];
    AOT_SLIM_UNROLL
    for (int p = 0; p < P; ++p) {
      AOT_SLIM_UNROLL
      for (int v = 0; v < kRegisters; ++v)
        panel[p][v] = load<U>(right + p * tile.panel_bytes + v * static_cast<int>(sizeof(U)));
    }
    AOT_SLIM_UNROLL
    for (int r = 0; r < R; ++r) {
      const U one = U{} + (InPlace ? load<uint32_t>(rows[r] + at) : left[r]);
      AOT_SLIM_UNROLL
      for (int p = 0; p < P; ++p) {
        AOT_SLIM_UNROLL
        for (int v = 0; v < kRegisters; ++v) sums[r][p][v] = Element::add(sums[r][p][v], one, panel[p][v]);
      }
    }
    left += R;
    at += 4;
    right += tile.step_bytes;
  };
  for (int64_t stretch = 0; stretch < (InPlace ? tile.stretches : 1); ++stretch) {
    if (InPlace) {
      AOT_SLIM_UNROLL
      for (int r = 0; r < R; ++r) rows[r] = tile.rows[stretch * R + r];
      at = 0;
    }
    for (int64_t steps = tile.steps; steps > 0; steps -= kFetchEvery) {
      for (int64_t line = 0; line < tile.lines_ahead; ++line, ahead += 64) __builtin_prefetch(ahead, 0, 2);
#pragma GCC unroll 1
      for (int64_t count = steps < kFetchEvery ? steps : kFetchEvery; count > 0; --count) step();
    }
  }
  AOT_SLIM_UNROLL
  for (int r = 0; r < R; ++r) {
    AOT_SLIM_UNROLL
    for (int p = 0; p < P; ++p) {
      AOT_SLIM_UNROLL
      for (int v = 0; v < kRegisters; ++v)
        store(static_cast<uint32_t*>(tile.sums) + (r * P + p) * kPanel + v * kLanes, sums[r][p][v]);
    }
  }
}

// The functions for 1..Rows rows of 1..kMostPanels panels; null where the registers would not hold the sums and what a
// step multiplies.
template <class Element, int Rows, int Registers, bool InPlaceToo = false>
struct Tiles {
  template <int R, int P, bool InPlace>
  static constexpr TileFunction one() {
    if constexpr ((R + Element::kParts) * P * kRegisters + Element::kParts <= Registers || (R == 1 && P == 1)) {
      return multiply_tile<Element, R, P, InPlace>;
    } else {
      return nullptr;
    }
  }
  template <int R, bool InPlace>
  static constexpr void fill(TileFunction (&of)[kMostRows][kMostPanels]) {
    of[R - 1][0] = one<R, 1, InPlace>();
    of[R - 1][1] = one<R, 2, InPlace>();
    of[R - 1][2] = one<R, 3, InPlace>();
    of[R - 1][3] = one<R, 4, InPlace>();
    if constexpr (R < Rows) fill<R + 1, InPlace>(of);
  }
  static constexpr TileTable table() {
    TileTable table{};
    table.rows = Rows;
    table.in_block = 1;
    fill<1, false>(table.of);
    if constexpr (InPlaceToo) fill<1, true>(table.in_place);
    return table;
  }
};

}  // namespace
}  // namespace slim::matrix
