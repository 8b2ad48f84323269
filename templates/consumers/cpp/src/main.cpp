// aot-app: runs the bundle's model on .npy files and prints what comes out.
#include <algorithm>
#include <aot_bridge.hpp>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "npy.hpp"

namespace {

constexpr const char* kUsage =
    "usage: aot-app [--model NAME] [--device cpu|cuda[:N]|rocm[:N]] INPUT.npy...\n"
    "one .npy file per input, in the model's order; the bundle is ./bundle beside the program, or AOT_BUNDLE\n";

template <class T>
void print_elements(const aot::Tensor& tensor) {
  constexpr std::size_t shown = 8;
  const std::vector<T> values = tensor.to_vector<T>();
  for (std::size_t index = 0; index < std::min(shown, values.size()); ++index) std::cout << ' ' << values[index];
  if (values.size() > shown) std::cout << " ...";
}

void print(const std::string& name, const aot::Tensor& tensor) {
  std::cout << name << ": " << tensor.dtype().name() << '[';
  for (std::size_t axis = 0; axis < tensor.shape().size(); ++axis) {
    std::cout << (axis == 0 ? "" : ", ") << tensor.shape()[axis];
  }
  std::cout << "] =";
  if (tensor.dtype() == aot::dtype_of_v<float>) print_elements<float>(tensor);
  if (tensor.dtype() == aot::dtype_of_v<double>) print_elements<double>(tensor);
  if (tensor.dtype() == aot::dtype_of_v<std::int64_t>) print_elements<std::int64_t>(tensor);
  if (tensor.dtype() == aot::dtype_of_v<std::int32_t>) print_elements<std::int32_t>(tensor);
  std::cout << '\n';
}

int run(const std::vector<std::string>& arguments) {
  std::string model_name;
  aot::LoadOptions options;
  std::vector<npy::Array> arrays;
  for (std::size_t index = 0; index < arguments.size(); ++index) {
    const std::string& argument = arguments[index];
    const bool has_value = index + 1 < arguments.size();
    if (argument == "--model" && has_value) {
      model_name = arguments[++index];
    } else if (argument == "--device" && has_value) {
      options.device = arguments[++index];
    } else if (argument.compare(0, 1, "-") == 0) {
      std::cerr << kUsage;
      return argument == "--help" ? AOT_OK : AOT_USAGE;
    } else {
      arrays.push_back(npy::load(argument));
    }
  }

  const auto model = aot::Model::load(aot::find_model(model_name), options);
  std::vector<aot::View> inputs;
  for (const npy::Array& array : arrays) inputs.push_back(array.view());
  aot::RunStats stats;
  const std::vector<aot::Tensor> outputs = model.run(inputs, &stats);

  const std::vector<aot::TensorInfo> infos = model.outputs();
  for (std::size_t index = 0; index < outputs.size(); ++index) print(infos[index].name, outputs[index]);
  std::cerr << stats.latency_ms << " ms\n";
  return AOT_OK;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run({argv + 1, argv + argc});
  } catch (const aot::Error& error) {  // its status is one of the exit codes of docs/embedding.md
    std::cerr << "error: " << error.what() << '\n';
    return error.status();
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << '\n';
    return AOT_FAILED;
  }
}
