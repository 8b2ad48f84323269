// float32 times float32. Included in each set's folder after tile.h.
#pragma once

namespace slim::matrix {
namespace {

struct Float32 {
  using Sum = F;
  static F add(F sum, U left, U right) { return sum + (F)left * (F)right; }
};

}  // namespace
}  // namespace slim::matrix
