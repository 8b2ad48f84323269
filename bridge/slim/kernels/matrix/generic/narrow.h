// Between sums of bytes, floats and bytes. Included in each set's folder after vectors.h.
#pragma once

#include <cstdint>

#include "../kernels.h"
#include "bytes.h"

namespace slim::matrix {
namespace {

void widen(const void* sums, int64_t rows, int64_t width, const int32_t* excess, const float* scales, float* to) {
  for (int64_t j = 0; j < width; j += kLanes) {
    const U less = load<U>(excess + j);
    const F scale = load<F>(scales + j);
    for (int64_t i = 0; i < rows; ++i) {
      const U sum = load<U>(static_cast<const int32_t*>(sums) + i * width + j);
      store(to + i * width + j, __builtin_convertvector((I)(sum - less), F) * scale);  // wraps around as the sums do
    }
  }
}

inline void store_bytes(char* to, SignedBytes bytes, int64_t count) {
  if (count >= kLanes) return store(to, bytes);
  char some[kLanes];
  store(some, bytes);
  for (int64_t i = 0; i < count; ++i) to[i] = some[i];
}

void narrow(const float* from, int64_t count, const Bytes& how, void* to) {
  constexpr float kRound = 0x1.8p+23F;
  const F low = all(how.is_signed ? -128 : 0);
  const F high = all(how.is_signed ? 127 : 255);
  for (int64_t j = 0; j < count; j += kLanes) {
    F x = load<F>(from + j) * how.inverse_scale + how.zero_point;
    x = x > low ? x : low;
    x = x < high ? x : high;
    const I rounded = (I)(x + kRound) - (I)all(kRound);
    store_bytes(static_cast<char*>(to) + j, low_bytes(rounded), count - j);
  }
}

template <class Byte>
inline void add_products_of(const void* bytes, int32_t zero_point, const int8_t* weights, int64_t count,
                            int32_t* sums) {
  constexpr bool kSigned = static_cast<Byte>(-1) < 0;
  const auto* from = static_cast<const Byte*>(bytes);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const I x = (kSigned ? signed_bytes(from + i) : unsigned_bytes(from + i)) - zero_point;
    store(sums + i, load<I>(sums + i) + x * signed_bytes(weights + i));
  }
  for (; i < count; ++i) sums[i] += (static_cast<int32_t>(from[i]) - zero_point) * weights[i];
}

void add_products(const void* bytes, bool is_signed, int32_t zero_point, const int8_t* weights, int64_t count,
                  int32_t* sums) {
  if (is_signed) return add_products_of<int8_t>(bytes, zero_point, weights, count, sums);
  add_products_of<uint8_t>(bytes, zero_point, weights, count, sums);
}

}  // namespace
}  // namespace slim::matrix
