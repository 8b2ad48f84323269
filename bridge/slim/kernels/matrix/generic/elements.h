// What can be multiplied with the instructions that every set has. Included in each set's folder after vectors.h.
#pragma once

namespace slim::matrix {
namespace {

struct Float32 {
  using Sum = F;
  static constexpr int kParts = 1;
  static F add(F sum, U left, U right) { return sum + (F)left * (F)right; }
};

// Two a word: each is the upper half of a float32.
struct Bfloat16 {
  using Sum = F;
  static constexpr int kParts = 2;
  static F add(F sum, U left, U right) {
    sum += (F)(left << 16) * (F)(right << 16);
    return sum + (F)(left & 0xffff0000) * (F)(right & 0xffff0000);
  }
};

// Four a word, uint8 times int8.
struct Words {
  using Sum = I;
  static constexpr int kParts = 4;
  static I add(I sum, U left, U right) {
    AOT_SLIM_UNROLL
    for (int i = 0; i < 4; ++i) {
      const U one = (left >> (8 * i)) & 255;
      const I other = (I)(right << (24 - 8 * i)) >> 24;
      sum = (I)((U)sum + one * (U)other);
    }
    return sum;
  }
};

}  // namespace
}  // namespace slim::matrix
