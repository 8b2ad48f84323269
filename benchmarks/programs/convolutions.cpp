// Times convolutions of the slim runtime's kernels. A line a shape: inputs outputs size kernel stride groups GFLOP/s.
//
//   convolutions ROUNDS
//
// Channels last, one picture, one thread, bias and relu behind it. As in a model, weights and pictures come from
// memory: each call takes another set of them. Times are those of the thread, so that a busy machine does not count.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

#include "kernels/matrix/convolution.h"
#include "kernels/matrix/table.h"
#include "threads/pool.h"

namespace {

using namespace slim::matrix;

double now() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

struct Shape {
  int64_t inputs, outputs, size, kernel, stride, groups;
};

Geometry geometry_of(const Shape& shape) {
  Geometry geometry{};
  geometry.batch = 1;
  geometry.groups = shape.groups;
  geometry.inputs = shape.inputs / shape.groups;
  geometry.outputs = shape.outputs / shape.groups;
  for (int d = 0; d < kPlaces; ++d) {
    const bool flat = d == 0;
    geometry.in[d] = flat ? 1 : shape.size;
    geometry.kernel[d] = flat ? 1 : shape.kernel;
    geometry.stride[d] = flat ? 1 : shape.stride;
    geometry.padding[d] = flat ? 0 : shape.kernel / 2;
    geometry.dilation[d] = 1;
    geometry.out[d] = (geometry.in[d] + 2 * geometry.padding[d] - geometry.kernel[d]) / geometry.stride[d] + 1;
  }
  return geometry;
}

double gflops(const Shape& shape, int rounds) {
  const Geometry geometry = geometry_of(shape);
  const int64_t from = shape.inputs * shape.size * shape.size;
  const int64_t to = shape.outputs * geometry.out[1] * geometry.out[2];
  const int64_t weights = panel_bytes(geometry) / 4;
  const int64_t sets = std::clamp<int64_t>(30000000 / (weights + from), 2, 40);
  std::vector<float> source(static_cast<size_t>(from * sets), 0.5F);
  std::vector<float> panels(static_cast<size_t>(weights * sets), 0.25F);
  std::vector<float> out(static_cast<size_t>(to));
  const std::vector<float> bias(static_cast<size_t>(shape.outputs), 1);
  Result result;
  result.out = out.data();
  result.bias = bias.data();
  result.unary = Unary::kRelu;
  const Steps in_steps{from, 1, {0, shape.size * shape.inputs, shape.inputs}};
  const Steps out_steps{to, 1, {0, geometry.out[2] * shape.outputs, shape.outputs}};
  double best = 1e9;
  for (int round = 0; round < rounds; ++round) {
    const double begin = now();
    for (int64_t set = 0; set < sets; ++set)
      convolve(geometry, source.data() + set * from, in_steps, panels.data() + set * weights, out_steps, result);
    best = std::min(best, (now() - begin) / static_cast<double>(sets));
  }
  const double products = static_cast<double>(to * geometry.inputs * geometry.taps());
  return 2e-9 * products / best;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  aot_slim_set_threads(1);
  for (const Shape& shape :
       {Shape{3, 64, 224, 7, 2, 1}, Shape{64, 64, 56, 3, 1, 1}, Shape{64, 256, 56, 1, 1, 1},
        Shape{256, 64, 56, 1, 1, 1}, Shape{128, 128, 28, 3, 1, 1}, Shape{128, 512, 28, 1, 1, 1},
        Shape{256, 256, 14, 3, 1, 1}, Shape{1024, 256, 14, 1, 1, 1}, Shape{512, 512, 7, 3, 1, 1},
        Shape{512, 2048, 7, 1, 1, 1}, Shape{32, 32, 112, 3, 1, 32}, Shape{960, 960, 7, 3, 1, 960}}) {
    std::printf("%ld %ld %ld %ld %ld %ld %.1f\n", static_cast<long>(shape.inputs), static_cast<long>(shape.outputs),
                static_cast<long>(shape.size), static_cast<long>(shape.kernel), static_cast<long>(shape.stride),
                static_cast<long>(shape.groups), gflops(shape, std::atoi(arguments[1])));
    std::fflush(stdout);
  }
  return 0;
}
