// Convolutions by every instruction set that this machine has, against sums in double. All numbers end where a page
// begins that nobody may touch.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "kernel_checks.h"
#include "kernels/matrix/convolution.h"

using namespace slim::matrix;
using namespace checks;

namespace {

// Where the numbers of pictures of these sizes lie, channels last or elsewhere, with a gap behind each line. Tensors
// may be permuted in any way, so any dim may be the next.
Steps steps_of(const int64_t (&sizes)[kPlaces], int64_t batch, int64_t channels, bool last, int64_t gap,
               Random& random) {
  Steps steps{};
  struct Dim {
    int64_t* step;
    int64_t size;
  };
  std::vector<Dim> dims;
  for (int d = kPlaces - 1; d >= 0; --d) dims.push_back({&steps.place[d], sizes[d]});
  dims.insert(last ? dims.begin() : dims.end(), {&steps.channel, channels});
  dims.push_back({&steps.batch, batch});
  if (random() % 2 == 0) std::shuffle(dims.begin() + (last ? 1 : 0), dims.end(), random);
  int64_t step = 1;
  for (size_t i = 0; i < dims.size(); ++i) {
    *dims[i].step = step;
    step = step * dims[i].size + (i > 0 || !last ? gap : 0);
  }
  return steps;
}

int64_t place_of(const Steps& steps, int64_t batch, int64_t channel, const int64_t (&at)[kPlaces]) {
  int64_t place = batch * steps.batch + channel * steps.channel;
  for (int d = 0; d < kPlaces; ++d) place += at[d] * steps.place[d];
  return place;
}

// So many numbers lie in front of the end of the last one.
int64_t extent(const Steps& steps, int64_t batch, int64_t channels, const int64_t (&sizes)[kPlaces]) {
  if (batch * channels * sizes[0] * sizes[1] * sizes[2] == 0) return 0;
  return place_of(steps, batch - 1, channels - 1, {sizes[0] - 1, sizes[1] - 1, sizes[2] - 1}) + 1;
}

Geometry draw(Random& random) {
  Geometry g{};
  g.batch = below(random, 3);
  g.groups = random() % 2 ? 1 : 1 + below(random, 40);
  const bool depthwise = random() % 3 == 0;
  g.inputs = depthwise ? 1 : below(random, g.groups > 4 ? 4 : 40);
  g.outputs = depthwise ? 1 : below(random, g.groups > 4 ? 4 : 70);
  g.transposed = random() % 3 == 0;
  // Lines of a few numbers and no more than one tap: a tile has several of them.
  const bool small = random() % 4 == 0;
  for (int d = 0; d < kPlaces; ++d) {
    g.in[d] = g.out[d] = g.kernel[d] = g.stride[d] = g.dilation[d] = 1;
    if (d < static_cast<int>(random() % kPlaces)) continue;
    g.kernel[d] = small ? 1 : 1 + below(random, 4);
    g.stride[d] = small ? 1 : 1 + below(random, 3);
    g.padding[d] = small ? 0 : below(random, 3);
    g.dilation[d] = 1 + below(random, 2);
    g.in[d] = 1 + below(random, d == 0 || small ? 3 : 20);
    const int64_t reach = g.dilation[d] * (g.kernel[d] - 1) + 1;
    g.out[d] = g.transposed ? (g.in[d] - 1) * g.stride[d] - 2 * g.padding[d] + reach + below(random, 3)
                            : (g.in[d] + 2 * g.padding[d] - reach) / g.stride[d] + 1;
    if (g.out[d] < 1 || g.in[d] + 2 * g.padding[d] < reach) {
      g.in[d] = g.out[d] = g.kernel[d] = g.stride[d] = g.dilation[d] = 1;
      g.padding[d] = 0;
    }
  }
  return g;
}

// Sum and sum of magnitudes of what reaches a place of the result.
struct Sum {
  double value = 0;
  double size = 0;
};

Sum sum_at(const Geometry& g, Guarded& source, const Steps& from, Guarded& weights, int64_t batch, int64_t channel,
           const int64_t (&at)[kPlaces]) {
  Sum sum;
  const int64_t group = channel / g.outputs;
  for (int64_t tap = 0; tap < g.taps(); ++tap) {
    const int64_t t[kPlaces] = {tap / (g.kernel[1] * g.kernel[2]), tap / g.kernel[2] % g.kernel[1], tap % g.kernel[2]};
    int64_t in[kPlaces];
    bool inside = true;
    for (int d = 0; d < kPlaces; ++d) {
      if (g.transposed) {
        in[d] = at[d] + g.padding[d] - t[d] * g.dilation[d];
        inside = inside && in[d] % g.stride[d] == 0;
        in[d] /= g.stride[d];
      } else {
        in[d] = at[d] * g.stride[d] - g.padding[d] + t[d] * g.dilation[d];
      }
      inside = inside && in[d] >= 0 && in[d] < g.in[d];
    }
    for (int64_t c = 0; inside && c < g.inputs; ++c) {
      const double product = static_cast<double>(source[place_of(from, batch, group * g.inputs + c, in)]) *
                             static_cast<double>(weights[(channel * g.taps() + tap) * g.inputs + c]);
      sum.value += product;
      sum.size += std::fabs(product);
    }
  }
  return sum;
}

std::string text(const Geometry& g, Isa isa) {
  std::string said = std::string(name_of(isa)) + (g.transposed ? " transposed" : "");
  for (const int64_t number : {g.batch, g.groups, g.inputs, g.outputs}) said += " " + std::to_string(number);
  for (int d = 0; d < kPlaces; ++d) {
    said += " (" + std::to_string(g.in[d]) + " k" + std::to_string(g.kernel[d]) + " s" + std::to_string(g.stride[d]) +
            " p" + std::to_string(g.padding[d]) + " d" + std::to_string(g.dilation[d]) + ")";
  }
  return said;
}

void check(const Geometry& g, const Steps& from, const Steps& to, Isa isa, Random& random) {
  std::normal_distribution<float> normal;
  const int64_t inputs = g.groups * g.inputs;
  const int64_t outputs = g.groups * g.outputs;
  const int64_t results = extent(to, g.batch, outputs, g.out);
  Guarded source(extent(from, g.batch, inputs, g.in));
  Guarded weights(outputs * g.taps() * g.inputs);
  Guarded panels(panel_bytes(g) / 4);
  Guarded bias(outputs);
  Guarded other(results);
  Guarded out(results);
  for (int64_t i = 0; i < extent(from, g.batch, inputs, g.in); ++i) source[i] = normal(random);
  // A picture's NaN, infinities and denormals stay its own: beside it, zeros take their place.
  if (random() % 4 == 0 && source.data() != nullptr && extent(from, g.batch, inputs, g.in) > 0) {
    const float specials[] = {std::nanf(""), std::numeric_limits<float>::infinity(), 1e-40F};
    source[below(random, extent(from, g.batch, inputs, g.in))] = specials[random() % 3];
  }
  for (int64_t i = 0; i < outputs * g.taps() * g.inputs; ++i) weights[i] = normal(random);
  // What lies beside the picture is nothing, also under an infinite weight.
  if (random() % 4 == 0 && outputs * g.taps() * g.inputs > 0)
    weights[below(random, outputs * g.taps() * g.inputs)] = std::numeric_limits<float>::infinity();
  for (int64_t i = 0; i < outputs; ++i) bias[i] = normal(random);
  for (int64_t i = 0; i < results; ++i) {
    other[i] = normal(random);
    out[i] = -77;
  }
  Result how;
  how.out = out.data();
  how.bias = random() % 2 ? bias.data() : nullptr;
  how.unary = random() % 2 ? Unary::kNone : static_cast<Unary>(random() % 11);
  how.binary = static_cast<Binary>(random() % 4);
  how.alpha = how.unary == Unary::kHardtanh ? -1 : 0.125F;
  how.beta = 1.5F;
  if (how.binary != Binary::kNone) how.other = other.data();
  pack_panels(g, weights.data(), panels.data());
  convolve(g, source.data(), from, panels.data(), to, how, isa);
  std::vector<bool> written(static_cast<size_t>(results));
  for (int64_t i = 0; i < g.batch * outputs * g.out[0] * g.out[1] * g.out[2]; ++i) {
    const int64_t at[kPlaces] = {i / (g.out[1] * g.out[2]) % g.out[0], i / g.out[2] % g.out[1], i % g.out[2]};
    const int64_t channel = i / (g.out[0] * g.out[1] * g.out[2]) % outputs;
    const int64_t batch = i / (g.out[0] * g.out[1] * g.out[2] * outputs);
    const int64_t place = place_of(to, batch, channel, at);
    written[static_cast<size_t>(place)] = true;
    const Sum sum = sum_at(g, source, from, weights, batch, channel, at);
    double x = sum.value;
    if (how.bias != nullptr) x += static_cast<double>(bias[channel]);
    const double y = static_cast<double>(other[place]);
    if (how.binary == Binary::kAdd) x += y;
    if (how.binary == Binary::kSubtract) x -= y;
    if (how.binary == Binary::kMultiply) x *= y;
    const double expected = activated(how.unary, x, static_cast<double>(how.alpha), static_cast<double>(how.beta));
    if (std::isinf(x) && (how.unary > Unary::kRelu || !std::isnan(out[place]))) continue;
    const double factor = how.binary == Binary::kMultiply ? std::fabs(y) + 1 : 1;
    const double tolerance = 2e-6 * ((sum.size + 4) * factor + std::fabs(expected));
    if (!close(static_cast<double>(out[place]), expected, tolerance)) {
      return fail(text(g, isa) + ": channel " + std::to_string(channel) + " at " + std::to_string(at[0]) + ", " +
                  std::to_string(at[1]) + ", " + std::to_string(at[2]) + " is " + std::to_string(out[place]) +
                  " instead of " + std::to_string(expected));
    }
  }
  for (int64_t i = 0; i < results; ++i) {
    if (!written[static_cast<size_t>(i)] && out[i] != -77) return fail(text(g, isa) + ": wrote between lines");
  }
}

void check(const Geometry& g, Isa isa, Random& random) {
  const int64_t inputs = g.groups * g.inputs;
  const int64_t outputs = g.groups * g.outputs;
  const bool last = g.is_depthwise() || random() % 2 == 0;
  const Steps from = steps_of(g.in, g.batch, inputs, last, below(random, 2) * 3, random);
  const Steps to = steps_of(g.out, g.batch, outputs, random() % 2 == 0, below(random, 2) * 3, random);
  check(g, from, to, isa, random);
}

// Two pictures of which each line lies beside the same one of the other: the last of the four numbers of a channel is
// as far from the first as if they came in the order of the pictures.
void check_interleaved(Isa isa, Random& random) {
  const Geometry g{2, 1, 2, 3, {1, 2, 1}, {1, 2, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {1, 1, 1}, false};
  check(g, {1, 4, {4, 2, 1}}, {6, 2, {2, 1, 1}}, isa, random);
}

// bfloat16 against the same numbers in float32.
void check_bfloat16(Geometry g, Isa isa, Random& random) {
  g.inputs = 2 * (1 + below(random, 12));
  if (g.groups <= 4 && random() % 2 == 0) g.inputs = 32 * (1 + below(random, 3));  // whole rows of AMX's tiles
  const int64_t inputs = g.groups * g.inputs;
  const int64_t outputs = g.groups * g.outputs;
  const Steps from = steps_of(g.in, g.batch, inputs, true, 0, random);
  const Steps to = steps_of(g.out, g.batch, outputs, random() % 2 == 0, 0, random);
  const int64_t numbers = extent(from, g.batch, inputs, g.in);
  const int64_t all_weights = outputs * g.taps() * g.inputs;
  const int64_t results = extent(to, g.batch, outputs, g.out);
  Guarded wide(numbers);
  Guarded wide_weights(all_weights);
  Guarded source(numbers / 2);
  Guarded weights(all_weights / 2);
  const auto draw_into = [&](Guarded& floats, Guarded& halves, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      floats[i] = static_cast<float>(below(random, 256) - 128) / 64;  // eight bits: exact in both
      uint32_t bits = 0;
      std::memcpy(&bits, &floats[i], sizeof bits);
      reinterpret_cast<uint16_t*>(halves.data())[i] = static_cast<uint16_t>(bits >> 16);
    }
  };
  draw_into(wide, source, numbers);
  draw_into(wide_weights, weights, all_weights);
  Guarded expected(results);
  Guarded out(results);
  Result how;
  Guarded wide_panels(panel_bytes(g) / 4);
  pack_panels(g, wide_weights.data(), wide_panels.data());
  how.out = expected.data();
  convolve(g, wide.data(), from, wide_panels.data(), to, how, isa);
  g.numbers = Numbers::kBfloat16;
  Guarded panels(panel_bytes(g) / 4);
  pack_panels(g, weights.data(), panels.data());
  how.out = out.data();
  convolve(g, source.data(), from, panels.data(), to, how, isa);
  for (int64_t i = 0; i < results; ++i) {
    if (!close(static_cast<double>(out[i]), static_cast<double>(expected[i]), 1e-3))
      return fail(text(g, isa) + " bfloat16: " + std::to_string(out[i]) + " instead of " + std::to_string(expected[i]));
  }
}

// One LSTM step against the formula.
void check_lstm(Isa isa, Random& random) {
  std::normal_distribution<float> normal(0, 3);
  const int64_t rows = below(random, 4);
  const int64_t hidden = 1 + below(random, 50);
  Guarded gates(rows * 4 * hidden);
  Guarded cells(rows * hidden);
  Guarded states(rows * hidden);
  for (int64_t i = 0; i < rows * 4 * hidden; ++i) gates[i] = normal(random);
  for (int64_t i = 0; i < rows * hidden; ++i) cells[i] = normal(random);
  const std::vector<float> before(cells.data(), cells.data() + rows * hidden);
  lstm_cells(gates.data(), rows, hidden, cells.data(), states.data(), isa);
  for (int64_t i = 0; i < rows * hidden; ++i) {
    const auto gate = [&](int64_t number) {
      return static_cast<double>(gates[(i / hidden * 4 + number) * hidden + i % hidden]);
    };
    const auto part = [](double x) { return 1 / (1 + std::exp(-x)); };
    const double cell =
        part(gate(1)) * static_cast<double>(before[static_cast<size_t>(i)]) + part(gate(0)) * std::tanh(gate(2));
    const double state = part(gate(3)) * std::tanh(cell);
    if (!close(static_cast<double>(cells[i]), cell, 1e-5) || !close(static_cast<double>(states[i]), state, 1e-5))
      return fail(std::string(name_of(isa)) + ": an LSTM of " + std::to_string(hidden));
  }
}

}  // namespace

// How many draws.
int main(int count, char** arguments) {
  const long draws = count > 1 ? std::strtol(arguments[1], nullptr, 10) : 200;
  Random random(20);
  for (const Isa isa : kSets) {
    if (isa > best_isa()) break;
    std::printf("%s\n", name_of(isa));
    for (long i = 0; i < draws; ++i) {
      check(draw(random), isa, random);
      check_interleaved(isa, random);
      check_bfloat16(draw(random), isa, random);
      check_lstm(isa, random);
    }
  }
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
