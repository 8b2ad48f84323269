// Convolutions of float32 or bfloat16 over panels, transposed or not, into float32, and what is done with each sum
// before it is stored.
//
// Weights lie in panels of 16 output channels of a group, whatever the processor: [groups][outputs / 16][taps][inputs]
// [16]. Groups of one channel, in and out, make panels of 16 groups: [groups / 16][taps][16]. Channels that are missing
// at the end are zeros.
#pragma once

#include <cstdint>

#include "product.h"

namespace slim::matrix {

// Dims of a picture. Of one with fewer, the first have size 1.
inline constexpr int kPlaces = 3;

// From one number of a picture to the next along each dim, in numbers.
struct Steps {
  int64_t batch;
  int64_t channel;
  int64_t place[kPlaces];
};

struct Geometry {
  int64_t batch;
  int64_t groups;
  int64_t inputs;  // channels of a group
  int64_t outputs;
  int64_t in[kPlaces];
  int64_t out[kPlaces];
  int64_t kernel[kPlaces];
  int64_t stride[kPlaces];
  int64_t padding[kPlaces];
  int64_t dilation[kPlaces];
  bool transposed;
  // What source and weights hold: float32, or bfloat16 where a group has an even number of inputs.
  Numbers numbers = Numbers::kFloat32;

  int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
  bool is_depthwise() const { return numbers == Numbers::kFloat32 && groups > 1 && inputs == 1 && outputs == 1; }
};

// Bytes in the panels of the weights.
int64_t panel_bytes(const Geometry& geometry);

// Fills panels from weights that lie as [groups][outputs][taps][inputs].
void pack_panels(const Geometry& geometry, const void* weights, void* panels);

// The convolution. `to` says where its numbers go, from result.out on, and where those of result.other come from; row
// strides mean nothing. Groups of one channel and bfloat16 want a source whose channels follow one another (`channel`
// of 1), and bfloat16 steps that are even. The result must not overlap source and weights.
void convolve(const Geometry& geometry, const void* source, const Steps& from, const void* panels, const Steps& to,
              const Result& result, Isa isa = best_isa());

}  // namespace slim::matrix
