// What aot_bridge.hpp promises beyond the template's program. argv[1] is the folder of the MLP, argv[2] a model whose
// output is a transposed view, argv[3] one that adds its second input to its first one in place. Exits with the number
// of promises broken.
#include <unistd.h>

#include <aot_bridge.hpp>
#include <array>
#include <cmath>
#include <iostream>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>
#if __cplusplus >= 202002L
#include <span>
#endif

namespace {

int failures = 0;

void expect(bool holds, const char* what) {
  if (holds) return;
  ++failures;
  std::cerr << "failed: " << what << '\n';
}

constexpr auto kDynamic = static_cast<std::size_t>(-1);

// What the wrapper uses of std::mdspan, which compilers of 2022 do not have yet, by the same names.
template <class T, std::size_t Rank, std::size_t FirstSize = kDynamic>
struct Mdspan {
  using element_type = T;
  using index_type = std::size_t;
  using extents_type = std::array<std::size_t, Rank>;
  struct mapping_type {
    mapping_type(extents_type sizes, std::array<std::size_t, Rank> steps) : extents(sizes), strides(steps) {}
    extents_type extents;
    std::array<std::size_t, Rank> strides;
  };

  Mdspan(T* data, mapping_type layout) : handle(data), mapping(layout) {}
  static constexpr std::size_t rank() { return Rank; }
  static constexpr std::size_t static_extent(std::size_t axis) { return axis == 0 ? FirstSize : kDynamic; }
  [[nodiscard]] T* data_handle() const { return handle; }
  [[nodiscard]] std::size_t extent(std::size_t axis) const { return mapping.extents[axis]; }
  [[nodiscard]] std::size_t stride(std::size_t axis) const { return mapping.strides[axis]; }
  [[nodiscard]] T& at(std::size_t row, std::size_t column) const {
    return handle[row * mapping.strides[0] + column * mapping.strides[1]];
  }

  T* handle;
  mapping_type mapping;
};

static_assert(std::is_nothrow_move_constructible_v<aot::Tensor> && !std::is_copy_constructible_v<aot::Tensor>);
static_assert(std::is_nothrow_move_constructible_v<aot::Model> && !std::is_copy_constructible_v<aot::Model>);
static_assert(aot::dtype_of_v<const long> == aot::dtype_of_v<long long>);
static_assert(aot::dtype_of_v<unsigned char> != aot::dtype_of_v<bool>);

void names() {
  expect(aot::dtype_of_v<float>.name() == "float32", "float is float32");
  expect(aot::dtype_of_v<bool>.name() == "bool", "bool is bool");
  expect(aot::dtype_of_v<std::complex<double>>.name() == "complex128", "complex<double> is complex128");
  expect(aot::DType(aot_dtype{AOT_BFLOAT, 16, 1}).name() == "bfloat16", "bfloat16 has a name");
  expect(aot::DType(aot_dtype{AOT_FLOAT, 0, 1}).name() == "unknown", "no bits, no name");
  expect(aot::DType(aot_dtype{77, 8, 1}).name() == "unknown", "a code of a newer library has no name");
}

void errors_by_choice(const aot::Model& model) {
  std::vector<float> x(8 * 64);
  const auto refused = model.try_run({aot::View(x, {64, 8})});
  expect(!refused && refused.error().status() == AOT_USAGE, "a wrong shape comes back as a value");
  try {
    (void)model.run({aot::View(x, {64, 8})});
    expect(false, "a wrong shape is thrown");
  } catch (const aot::Error& error) {
    expect(error.status() == AOT_USAGE, "a wrong shape is thrown with its status");
    expect(std::string_view(error.what()).find('\n') != std::string_view::npos, "an error has three lines");
  }
  try {
    (void)aot::View(x, {3});
    expect(false, "a view of another size is thrown");
  } catch (const aot::Error& error) {
    expect(error.status() == AOT_USAGE, "a view of another size is a usage error");
  }
  const auto taken = model.try_run({aot::View(x, {8, 64})});
  expect(taken.value().size() == 1 && taken->size() == 1 && (*taken)[0].size() == 80, "a const result has its value");
  expect(!aot::Model::try_load("/nonexistent"), "a missing model comes back as a value");
  expect(!aot::try_check_device("cuda:99"), "a missing device comes back as a value");
}

void outputs(const aot::Model& model) {
  const std::array<float, 64> x{};
  std::vector<aot::Tensor> outputs = model.run({aot::View(x, {1, 64})});
  expect(outputs[0].size() == 10 && outputs[0].shape()[1] == 10, "the shape is known");
  expect(outputs[0].is_contiguous() && outputs[0].stride(0) == 10, "strides are known");
  expect(!outputs[0].try_data<double>(), "another type is refused");
  expect(outputs[0].to_vector<float>()[3] == outputs[0].data<float>()[3], "a copy has the same elements");
  expect(!(outputs[0].try_as<Mdspan<float, 3>>()), "another rank is refused");
  const auto matrix = outputs[0].as<Mdspan<float, 2>>();
  expect(&matrix.at(0, 9) == &outputs[0].data<float>()[9], "an mdspan shares the memory");
#if __cplusplus >= 202002L
  const std::span<float> elements = outputs[0].data<float>();
  expect(elements.size() == 10, "a Span becomes a std::span");
  expect(model.run({aot::View(std::span<const float>(x), {1, 64})}).size() == 1, "a std::span becomes a View");
#endif

  const float first = outputs[0].data<float>()[0];
  aot_managed* managed = outputs[0].release_dlpack();
  expect(static_cast<float*>(managed->tensor.data)[0] == first, "DLPack takes the memory over");
  managed->deleter(managed);
}

void strides(const aot::Model& transposing) {
  const std::vector<float> x = {0, 1, 2, 3, 4, 5};
  const auto outputs = transposing.run({aot::View(x, {2, 3})});
  const aot::Tensor& output = outputs[0];
  expect(output.shape()[0] == 3 && output.shape()[1] == 2, "the output is transposed");
  expect(output.to_vector<float>() == std::vector<float>({1, 4, 2, 5, 3, 6}), "a copy is in C order");
  expect(!(output.try_as<Mdspan<float, 2, 4>>()), "an mdspan type of another size is refused");
  expect(output.try_as<Mdspan<float, 2, 3>>().has_value(), "an mdspan type of that size is taken");
  const auto matrix = output.as<Mdspan<float, 2>>();
  expect(matrix.at(2, 0) == 3 && matrix.at(0, 1) == 4, "a strided mdspan sees the elements");
  expect(output.is_contiguous() || !output.try_data<float>(), "a strided output is not handed out as a Span");

  std::vector<float> columns = {0, 3, 1, 4, 2, 5};
  const Mdspan<float, 2> view(columns.data(), {{2, 3}, {1, 2}});
  expect(transposing.run({aot::View(view)})[0].to_vector<float>() == output.to_vector<float>(),
         "a strided mdspan is an input");
}

static_assert(!std::is_constructible_v<aot::MutableView, const std::vector<float>&, aot::Shape>);
static_assert(!std::is_constructible_v<aot::MutableView, const float*, aot::Shape>);
static_assert(!std::is_constructible_v<aot::MutableView, Mdspan<const float, 2>>);
static_assert(!std::is_constructible_v<aot::MutableView, aot::View>);
static_assert(!std::is_convertible_v<std::vector<aot::MutableView>, aot::Span<const aot::View>>, "of another size");

void in_place(const aot::Model& adding) {
  const std::vector<aot::TensorInfo> infos = adding.inputs();
  expect(infos[0].mutated == true && infos[1].mutated == false, "what is written into is known");
  expect(!adding.outputs()[0].mutated, "of outputs it is not");

  const std::vector<float> ones(4, 1);
  std::vector<float> state(4, 1);
  expect(adding.run({aot::View(state, {4}), aot::View(ones, {4})})[0].to_vector<float>()[0] == 2, "the model adds");
  expect(state == ones, "run() writes to no input");
  expect(adding.run({aot::View(ones, {4}), aot::View(ones, {4})}).size() == 3 && ones[0] == 1, "const stays const");

  std::vector<float> x(4, 1);
  (void)adding.run_in_place({aot::MutableView(state, {4}), aot::MutableView(x, {4})});
  expect(state == std::vector<float>(4, 2) && x == ones, "run_in_place() changes what the model changes");
  float strided[] = {1, 9, 1, 9, 1, 9, 1, 9};
  (void)adding.run_in_place({aot::MutableView(strided, aot::dtype_of_v<float>, {4}, {2}), aot::MutableView(x, {4})});
  expect(strided[6] == 2 && strided[7] == 9, "through strides as well");
}

void threads(const aot::Model& model) {
  const std::vector<float> x(8 * 64, 0.5F);
  const auto expected = model.run({aot::View(x, {8, 64})})[0].to_vector<float>();
  std::vector<int> wrong(4);
  std::vector<std::thread> callers;
  for (int& count : wrong) {
    callers.emplace_back([&] {
      for (int call = 0; call < 100; ++call) {
        count += model.run({aot::View(x, {8, 64})})[0].to_vector<float>() != expected ? 1 : 0;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  expect(wrong == std::vector<int>(4), "threads get the same numbers");
}

void assets(const aot::Model& model) {
  const aot::Span<const char> text = model.asset("texts/greeting.txt");
  expect(std::string(text.begin(), text.end()) == "hello\n", "an asset is the file's content");
  expect(model.asset("texts/greeting.txt").data() == text.data(), "mapped once");
  expect(model.asset("empty").empty() && model.asset("empty").data() != nullptr, "an empty file is one");
  for (const char* name :
       {"", "none", "texts", "../bundle.json", "texts/../../bundle.json", "/etc/passwd", "a//b", "."}) {
    const auto found = model.try_asset(name);
    expect(!found && found.error().status() == AOT_USAGE, name);
  }
}

/// A process may go to another folder than that in which it named the model.
void assets_from_elsewhere(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  expect(chdir(path.substr(0, slash).c_str()) == 0, "there");
  const aot::Model model = aot::Model::load(path.substr(slash + 1));
  expect(chdir("/") == 0, "elsewhere");
  assets(model);
}

/// One by itself has none; nor has one whose bundle has gone since.
void assets_that_are_not_there(const std::string& package) {
  const auto why = [](const aot::Model& model) { return std::string(model.try_asset("labels.txt").error().what()); };
  const std::string moved = "/tmp/" + std::to_string(getpid()) + ".pt2";
  expect(symlink(package.c_str(), moved.c_str()) == 0, "a name of its own");
  const aot::Model model = aot::Model::load(moved);
  expect(why(model).find("package by itself") != std::string::npos, "a package");
  expect(unlink(moved.c_str()) == 0, "gone");
  expect(why(model).find("no longer where") != std::string::npos, "what has gone");
}

/// The model adds its input to a total of its own, and returns that.
void sessions(const aot::Model& model) {
  const std::vector<float> ones(4, 1);
  const auto next = [&](auto& runs) { return runs.run({aot::View(ones, {4})})[0].template to_vector<float>()[0]; };
  auto first = model.session();
  auto second = model.session();
  expect(next(first) == 1 && next(first) == 2 && next(second) == 1 && next(model) == 1, "each has a state of its own");
  const std::vector<unsigned char> state = first.save();
  auto copy = first.copy();
  expect(next(first) == 3 && next(copy) == 3, "a copy goes on by itself");
  second.restore(state);
  expect(next(second) == 3, "a state goes into another session");
  second.reset();
  auto moved = std::move(second);
  expect(next(moved) == 1, "and back to that of the export");
  try {
    moved.restore(aot::Span<const unsigned char>(state.data(), state.size() - 1));
    expect(false, "a part of a state is none");
  } catch (const aot::Error& error) {
    expect(error.status() == AOT_USAGE, "which is the caller's mistake");
  }
}

}  // namespace

int main(int, char** argv) {
  names();
  aot::LoadOptions options;
  options.num_runners = 2;
  auto loaded = aot::Model::load(argv[1], options);
  const aot::Model model = std::move(loaded);  // a moved model is a model
  errors_by_choice(model);
  outputs(model);
  strides(aot::Model::load(argv[2]));
  in_place(aot::Model::load(argv[3]));
  threads(model);
  assets(model);
  sessions(aot::Model::load(argv[4]));
  assets_that_are_not_there(argv[3]);
  assets_from_elsewhere(argv[1]);
  return failures;
}
