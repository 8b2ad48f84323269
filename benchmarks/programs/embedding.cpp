// What aot_bridge.hpp adds to a call of the C API: both in one process, in turn, on one model.
// argv: model folder, rounds, calls a round. Prints the best microseconds a call, C then C++.
#include <algorithm>
#include <aot_bridge.hpp>
#include <chrono>
#include <iostream>
#include <string>
#include <vector>

namespace {

constexpr std::int64_t kRows = 8;
constexpr std::int64_t kColumns = 64;

void call_c(aot_model* model, float* data) {
  std::int64_t shape[] = {kRows, kColumns};
  const aot_view view = {data, {AOT_DEVICE_CPU, 0}, 2, {AOT_FLOAT, 32, 1}, shape, nullptr, 0};
  aot_tensor* output = nullptr;
  if (aot_model_run(model, &view, 1, &output, 1, nullptr) != AOT_OK) std::abort();
  aot_tensor_free(output);
}

void call_cpp(const aot::Model& model, const std::vector<float>& data) {
  const auto outputs = model.run({aot::View(data, {kRows, kColumns})});
  if (outputs[0].data<float>().empty()) std::abort();
}

template <class Call>
double microseconds(int calls, Call call) {
  const auto start = std::chrono::steady_clock::now();
  for (int index = 0; index < calls; ++index) call();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count() / calls;
}

}  // namespace

int main(int, char** argv) {
  const auto model = aot::Model::load(argv[1]);
  const int rounds = std::stoi(argv[2]);
  const int calls = std::stoi(argv[3]);
  std::vector<float> data(kRows * kColumns, 0.5F);
  double best_c = 1e9;
  double best_cpp = 1e9;
  for (int round = 0; round < rounds; ++round) {
    best_c = std::min(best_c, microseconds(calls, [&] { call_c(model.raw(), data.data()); }));
    best_cpp = std::min(best_cpp, microseconds(calls, [&] { call_cpp(model, data); }));
  }
  std::cout << best_c << ' ' << best_cpp << '\n';
}
