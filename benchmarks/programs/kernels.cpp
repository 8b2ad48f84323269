// Times products of matrices: the slim runtime's kernels, oneDNN's inner product on weights in its own layout, and MKL
// inside torch on plain weights. A line a shape and way: rows depth columns way GFLOP/s part-of-our-time.
//
//   kernels LIBTORCH_CPU ROUNDS
//
// As in a model, weights come from memory: each call takes another set of them. All ways run in turn within a round,
// and times are those of the thread, so that a busy machine hits them alike.
#include <dlfcn.h>
#include <immintrin.h>
#include <omp.h>
#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <memory>
#include <numeric>
#include <oneapi/dnnl/dnnl.hpp>
#include <random>
#include <string>
#include <vector>

#include "kernels/matrix/product.h"
#include "kernels/matrix/table.h"
#include "threads/pool.h"

namespace {

using namespace slim::matrix;

double now() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Chains of multiplications and additions that wait for nothing but themselves.
constexpr int kChains = 12;
constexpr int kSteps = 200000;

template <class Register>
__attribute__((always_inline)) inline double chains() {
  Register sums[kChains] = {};
  // Equal numbers, and numbers that are known, would be computed once or in advance.
  for (auto& sum : sums) __asm__ volatile("" : "+v"(sum));
  Register factor = Register{} + 0.5F;
  __asm__ volatile("" : "+v"(factor));
  const double begin = now();
  for (int step = 0; step < kSteps; ++step) {
#pragma GCC unroll 12
    for (auto& sum : sums) sum = sum * factor + factor;
  }
  const double took = now() - begin;
  for (auto& sum : sums) __asm__ volatile("" : : "v"(sum));
  return 2.0 * kSteps * kChains * (sizeof(Register) / sizeof(float)) / took * 1e-9;
}

typedef float Four __attribute__((vector_size(16)));
typedef float Eight __attribute__((vector_size(32)));
typedef float Sixteen __attribute__((vector_size(64)));

double chains_baseline() { return chains<Four>(); }
__attribute__((target("avx2,fma"))) double chains_avx2() { return chains<Eight>(); }
__attribute__((target("avx512f"))) double chains_avx512() { return chains<Sixteen>(); }

double peak() {
  const Isa isa = best_isa();
  return isa >= Isa::kAvx512 ? chains_avx512() : (isa == Isa::kAvx2 ? chains_avx2() : chains_baseline());
}

// Does no more with numbers than read them.
void read(const float* numbers, size_t count) {
  Four sums[8] = {};
  for (size_t i = 0; i + 32 <= count; i += 32) {
#pragma GCC unroll 8
    for (size_t j = 0; j < 8; ++j) {
      Four four;
      std::memcpy(&four, numbers + i + 4 * j, sizeof four);
      sums[j] += four;
    }
  }
  for (auto& sum : sums) __asm__ volatile("" : : "v"(sum));
}

struct Way {
  std::string name;
  std::function<void(int64_t set)> multiply;
  std::vector<double> seconds;
};

// Sets of weights in memory that no cache holds.
class Sets {
 public:
  Sets(size_t bytes, int64_t count) : bytes_((bytes + 4095) / 4096 * 4096), size_(bytes_ * static_cast<size_t>(count)) {
    memory_ = static_cast<char*>(mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (memory_ == MAP_FAILED) std::abort();
  }
  Sets(const Sets&) = delete;
  Sets& operator=(const Sets&) = delete;
  ~Sets() { munmap(memory_, size_); }
  float* at(int64_t set) const { return reinterpret_cast<float*>(memory_ + bytes_ * static_cast<size_t>(set)); }

 private:
  size_t bytes_;
  size_t size_;
  char* memory_;
};

struct Shape {
  int64_t rows, depth, columns;
};

using Sgemm = void (*)(const char*, const char*, const int64_t*, const int64_t*, const int64_t*, const float*,
                       const float*, const int64_t*, const float*, const int64_t*, const float*, float*,
                       const int64_t*);

dnnl::memory::desc plain(int64_t rows, int64_t columns) {
  return {{rows, columns}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::ab};
}

// oneDNN's product of bfloat16 into float32, by weights in the order that it likes best.
class OnednnHalves {
 public:
  OnednnHalves(const Shape& shape, int64_t sets)
      : described_(engine_, dnnl::prop_kind::forward_inference, halves(shape.rows, shape.depth, Tag::ab),
                   halves(shape.columns, shape.depth, Tag::any), plain(shape.rows, shape.columns)),
        multiply_(described_),
        weights_(described_.weights_desc().get_size(), sets),
        source_(described_.src_desc(), engine_),
        result_(described_.dst_desc(), engine_) {
    std::fill_n(static_cast<uint16_t*>(source_.get_data_handle()), shape.rows * shape.depth, uint16_t{0x3f80});
    const size_t count = described_.weights_desc().get_size() / 2;
    for (int64_t i = 0; i < sets; ++i)
      std::fill_n(reinterpret_cast<uint16_t*>(weights_.at(i)), count, uint16_t{0x3f80});
  }

  void operator()(int64_t set) {
    const dnnl::memory weights(described_.weights_desc(), engine_, weights_.at(set));
    multiply_.execute(stream_, {{DNNL_ARG_SRC, source_}, {DNNL_ARG_WEIGHTS, weights}, {DNNL_ARG_DST, result_}});
    stream_.wait();
  }

 private:
  using Tag = dnnl::memory::format_tag;
  static dnnl::memory::desc halves(int64_t rows, int64_t columns, Tag tag) {
    return {{rows, columns}, dnnl::memory::data_type::bf16, tag};
  }

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  dnnl::inner_product_forward::primitive_desc described_;
  dnnl::inner_product_forward multiply_;
  Sets weights_;
  dnnl::memory source_;
  dnnl::memory result_;
};

void compare(const Shape& shape, int rounds, Sgemm sgemm, double& best_peak) {
  const auto [rows, depth, columns] = shape;
  const auto numbers = static_cast<size_t>(depth * columns);
  const int64_t sets = std::clamp<int64_t>(160000000 / static_cast<int64_t>(numbers * sizeof(float)), 4, 400);
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> left(static_cast<size_t>(rows * depth));
  std::vector<float> weights(numbers);
  std::vector<float> out(static_cast<size_t>(rows * columns));
  for (float& x : left) x = normal(random);
  for (float& x : weights) x = normal(random);

  dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const dnnl::memory::desc any({columns, depth}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::any);
  const dnnl::inner_product_forward::primitive_desc described(engine, dnnl::prop_kind::forward_inference,
                                                              plain(rows, depth), any, plain(rows, columns));
  dnnl::inner_product_forward inner_product(described);
  const Sets panels(static_cast<size_t>(panel_bytes(Numbers::kFloat32, columns, depth)), sets);
  const Sets blocks(described.weights_desc().get_size(), sets);
  const Sets plains(numbers * sizeof(float), sets);
  for (int64_t i = 0; i < sets; ++i) {
    pack_panels(Numbers::kFloat32, {weights.data(), 1, depth}, columns, depth, panels.at(i));
    dnnl::memory from(plain(columns, depth), engine, weights.data());
    dnnl::memory to(described.weights_desc(), engine, blocks.at(i));
    dnnl::reorder(from, to).execute(stream, from, to);
    std::copy(weights.begin(), weights.end(), plains.at(i));
  }
  const dnnl::memory source(described.src_desc(), engine, left.data());
  const dnnl::memory result(described.dst_desc(), engine, out.data());
  Result how;
  how.out = out.data();
  how.row_stride = columns;
  const float one = 1;
  const float zero = 0;
  std::vector<Way> ways;
  ways.push_back({"slim",
                  [&](int64_t set) {
                    multiply(Numbers::kFloat32, {left.data(), depth, 1}, panels.at(set), {rows, columns, depth}, how);
                  },
                  {}});
  ways.push_back({"onednn",
                  [&](int64_t set) {
                    const dnnl::memory to(described.weights_desc(), engine, blocks.at(set));
                    inner_product.execute(stream,
                                          {{DNNL_ARG_SRC, source}, {DNNL_ARG_WEIGHTS, to}, {DNNL_ARG_DST, result}});
                    stream.wait();
                  },
                  {}});
  if (sgemm != nullptr) {
    ways.push_back({"mkl",
                    [&](int64_t set) {
                      sgemm("T", "N", &columns, &rows, &depth, &one, plains.at(set), &depth, left.data(), &depth, &zero,
                            out.data(), &columns);
                    },
                    {}});
  }
  // The same sizes of narrower numbers; what they are does not matter to the time.
  const Sets halves(static_cast<size_t>(panel_bytes(Numbers::kBfloat16, columns, depth)), sets);
  const Sets quarters(static_cast<size_t>(panel_bytes(Numbers::kUint8, columns, depth)), sets);
  const std::vector<uint16_t> narrow_left(left.size(), 0x3f80);
  for (int64_t i = 0; i < sets; ++i) {
    std::fill_n(reinterpret_cast<uint16_t*>(halves.at(i)), numbers, uint16_t{0x3f80});
    std::fill_n(reinterpret_cast<int8_t*>(quarters.at(i)), numbers, int8_t{1});
  }
  std::vector<int32_t> sums(out.size());
  ways.push_back({"bfloat16",
                  [&](int64_t set) {
                    multiply(Numbers::kBfloat16, {narrow_left.data(), depth, 1}, halves.at(set), {rows, columns, depth},
                             how);
                  },
                  {}});
  ways.push_back({"int8",
                  [&](int64_t set) {
                    multiply(Numbers::kUint8, {narrow_left.data(), depth, 1}, quarters.at(set), {rows, columns, depth},
                             sums.data(), columns);
                  },
                  {}});
  std::unique_ptr<OnednnHalves> onednn_halves;
  if (has_bfloat16()) {  // oneDNN has none for other machines
    onednn_halves = std::make_unique<OnednnHalves>(shape, sets);
    ways.push_back({"onednn-bfloat16", [&](int64_t set) { (*onednn_halves)(set); }, {}});
  }
  if (rows == 1) ways.push_back({"read", [&](int64_t set) { read(panels.at(set), numbers); }, {}});
  std::vector<double> expected;
  for (Way& way : ways) {
    if (way.name != "slim" && way.name != "onednn" && way.name != "mkl") continue;
    std::fill(out.begin(), out.end(), 0.0F);
    way.multiply(0);
    const double sum = std::accumulate(out.begin(), out.end(), 0.0);
    expected.push_back(sum);
    if (std::abs(sum - expected[0]) > 1e-3 * static_cast<double>(rows * columns)) std::abort();
  }
  for (int round = 0; round < rounds; ++round) {
    best_peak = std::max(best_peak, peak());
    for (Way& way : ways) {
      const double begin = now();
      for (int64_t set = 0; set < sets; ++set) way.multiply(set);
      way.seconds.push_back((now() - begin) / static_cast<double>(sets));
    }
  }
  const double work = 2e-9 * static_cast<double>(rows) * static_cast<double>(numbers);
  for (const Way& way : ways) {
    std::vector<double> ratios;
    for (size_t i = 0; i < way.seconds.size(); ++i) ratios.push_back(ways[0].seconds[i] / way.seconds[i]);
    std::nth_element(ratios.begin(), ratios.begin() + static_cast<std::ptrdiff_t>(ratios.size() / 2), ratios.end());
    std::printf("%ld %ld %ld %s %.1f %.3f\n", static_cast<long>(rows), static_cast<long>(depth),
                static_cast<long>(columns), way.name.c_str(),
                work / *std::min_element(way.seconds.begin(), way.seconds.end()), ratios[ratios.size() / 2]);
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) return 2;
  omp_set_num_threads(1);   // of oneDNN and MKL
  aot_slim_set_threads(1);  // of the kernels, whose pool is their own
  const int rounds = std::atoi(arguments[2]);
  Sgemm sgemm = nullptr;
  if (void* torch = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL)) {
    *reinterpret_cast<void**>(&sgemm) = dlsym(torch, "SGEMM_64");
  }
  double best_peak = 0;
  for (const Shape& shape : {Shape{128, 768, 768}, Shape{128, 768, 3072}, Shape{128, 3072, 768}, Shape{1, 768, 3072},
                             Shape{4, 768, 768}, Shape{16, 2048, 2048}, Shape{8, 64, 256}}) {
    compare(shape, rounds, sgemm, best_peak);
    std::fflush(stdout);
  }
  std::printf("peak %s %.1f\n", name_of(best_isa()), best_peak);
  return 0;
}
