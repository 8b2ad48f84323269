// SPDX-License-Identifier: Apache-2.0
// The usual way to run an AOTInductor package from C++: libtorch's own package loader.
//
//   reference MODEL.pt2 ROWS COLUMNS CALLS
//
// Prints one line when the first output is there, then the median time of a call in microseconds.
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

int main(int argc, char** argv) {
  if (argc != 5) {
    return 2;
  }
  const c10::InferenceMode inference;
  at::set_num_threads(1);
  torch::inductor::AOTIModelPackageLoader loader(argv[1]);
  const std::vector<at::Tensor> inputs{torch::ones({std::atol(argv[2]), std::atol(argv[3])})};
  const at::Tensor first = loader.run(inputs)[0];
  std::printf("%.6f\n", first.data_ptr<float>()[0]);
  std::fflush(stdout);
  std::vector<double> times;
  for (long call = 0; call < std::atol(argv[4]); ++call) {
    const auto start = std::chrono::steady_clock::now();
    const std::vector<at::Tensor> outputs = loader.run(inputs);
    times.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count());
  }
  std::nth_element(times.begin(), times.begin() + static_cast<long>(times.size() / 2), times.end());
  std::printf("%.3f\n", times[times.size() / 2]);
  return 0;
}
