// Convolutions whose groups have one channel each. Included in each set's folder after functions.h.
#pragma once

#include <cstdint>

#include "../kernels.h"

namespace slim::matrix {
namespace {

// Some places from `first` on, all channels.
template <int Places>
void sum_places(const Strip& strip, int64_t first) {
  float* to = strip.sums + first * strip.sums_stride;
  for (int64_t channel = 0; channel < strip.channels; channel += kLanes) {
    const int64_t count = strip.channels - channel;
    const int64_t weight = channel / kPanel * strip.panel_step + channel % kPanel;
    const int64_t begin = first * strip.place_step + channel;
    F sums[Places] = {};
    for (int64_t tap = 0; tap < strip.taps; ++tap) {
      const F factor = load<F>(strip.weights[tap] + weight);
      const float* at = strip.at[tap] + begin;
      AOT_SLIM_UNROLL
      for (int place = 0; place < Places; ++place)
        sums[place] += factor * load_some(at + place * strip.place_step, count);
    }
    AOT_SLIM_UNROLL
    for (int place = 0; place < Places; ++place) store(to + place * strip.sums_stride + channel, sums[place]);
  }
}

void depthwise(const Strip& strip) {
  int64_t place = 0;
  for (; place + kMostPlaces <= strip.places; place += kMostPlaces) sum_places<kMostPlaces>(strip, place);
  for (; place + 4 <= strip.places; place += 4) sum_places<4>(strip, place);
  for (; place < strip.places; ++place) sum_places<1>(strip, place);
}

}  // namespace
}  // namespace slim::matrix
