// Runs the bundle's only model, or the one that AOT_MODEL names, on zeros of the sizes that its signature asks for.
// ctest counts exit code 77 as skipped.
#include <algorithm>
#include <aot_bridge.hpp>
#include <cstdlib>
#include <iostream>
#include <map>
#include <vector>

#include "npy.hpp"

namespace {

constexpr int kSkipped = 77;
int failures = 0;

void expect(bool holds, const char* what) {
  if (holds) return;
  ++failures;
  std::cerr << "failed: " << what << '\n';
}

npy::Array zeros(const aot::TensorInfo& info) {
  npy::Array array{{}, info.dtype, {}};
  for (const aot::Dim& dim : info.dims) array.shape.push_back(std::clamp<std::int64_t>(2, dim.min, dim.max));
  array.bytes.resize(aot::num_elements(array.shape) * info.dtype.bytes());
  return array;
}

std::vector<aot::View> views(const std::vector<npy::Array>& arrays) {
  std::vector<aot::View> result;
  for (const npy::Array& array : arrays) result.push_back(array.view());
  return result;
}

}  // namespace

int main() {
  const char* name = std::getenv("AOT_MODEL");
  const auto found = aot::try_find_model(name == nullptr ? "" : name);
  if (!found) {
    std::cerr << "error: " << found.error().what() << '\n';
    return 1;
  }
  const auto model = aot::Model::load(found.value());
  std::vector<npy::Array> inputs;
  for (const aot::TensorInfo& info : model.inputs()) {
    if (!info.has_rank) {
      std::cerr << "skipped: the package does not say what the model's inputs are\n";
      return kSkipped;
    }
    inputs.push_back(zeros(info));
  }

  aot::RunStats stats;
  const auto outputs = model.run(views(inputs), &stats);
  expect(outputs.size() == model.outputs().size(), "as many outputs as the signature says");
  expect(stats.latency_ms > 0, "a run takes time");

  inputs.push_back(inputs.empty() ? npy::Array{{0}, {AOT_UINT, 1}, {}} : inputs.front());
  const auto refused = model.try_run(views(inputs));
  expect(!refused && refused.error().status() == AOT_USAGE, "an input too many is refused");

  const auto missing = aot::Model::try_load("/nonexistent");
  expect(!missing && missing.error().status() != AOT_OK, "a missing model is an error, not a crash");

  expect(!aot::try_find_model("no such model"), "an unknown name is an error");
  return failures == 0 ? 0 : 1;
}
