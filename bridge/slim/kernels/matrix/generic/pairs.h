// Scales and zeros of weights of four bits. Included in each set's folder after vectors.h.
#pragma once

#include <cstdint>

#include "../kernels.h"

namespace slim::matrix {
namespace {

// Scales and zeros of neighbouring columns.
struct Pair {
  F scale;
  F zero;
};

template <bool IsBfloat16>
inline Pair load_pairs(const void* pairs, int64_t at) {
  if constexpr (IsBfloat16) {
    const U both = load<U>(static_cast<const uint16_t*>(pairs) + 2 * at);
    return {(F)(both << 16), (F)(both & 0xffff0000)};
  } else {
    const float* from = static_cast<const float*>(pairs) + 2 * at;
    Pair pair;
    for (int i = 0; i < kLanes; ++i) {
      pair.scale[i] = from[2 * i];
      pair.zero[i] = from[2 * i + 1];
    }
    return pair;
  }
}

}  // namespace
}  // namespace slim::matrix
