// One layer of an LSTM in one direction.
#include <torch/csrc/inductor/aoti_torch/c/shim_cpu.h>

#include <algorithm>
#include <utility>

#include "kernels/panels.h"
#include "tensor/iterate.h"
#include "tensor/packed.h"

using namespace slim;

namespace {

constexpr int64_t kLstm = 2;  // torch's number of the mode
constexpr int64_t kGates = 4;

// Numbers of gates that are made of the input at once, so that they are still in a cache when their step comes.
constexpr int64_t kGatesAtOnce = 1 << 17;

// A weight [gates * hidden, inputs], or packed with the dims layer, direction, inputs, gates, hidden.
struct Weight {
  Weight(const Tensor& given, ScalarType dtype, int64_t all, int64_t inputs)
      : tensor(given), numbers(numbers_of(given)), columns(all), depth(inputs) {
    const bool packed = given.layout == Layout::kMkldnn;
    const Dims sizes = packed ? packed_sizes(given) : given.sizes;
    const Dims expected = packed ? Dims{1, 1, inputs, kGates, all / kGates} : Dims{all, inputs};
    require(sizes == expected && given.dtype == dtype, "LSTM weights of ", dtype_name(given.dtype), " ",
            to_string(sizes), " where ", dtype_name(dtype), " ", to_string(expected), " is due");
    panels = packed ? panels_of(given, columns, depth) : nullptr;
    if (packed) return;
    made = Storage::allocate(static_cast<size_t>(matrix::panel_bytes(numbers, columns, depth)));
    const matrix::Right right{given.raw(), given.strides[1], given.strides[0]};
    matrix::pack_panels(numbers, right, columns, depth, made.data());
    panels = made.data();
  }

  // Of rows that hold what it does.
  void multiply(const char* rows, int64_t count, const matrix::Result& result) const {
    const matrix::Left left{rows, depth, 1};
    matrix::multiply(numbers, left, panels, {count, columns, depth}, result);
  }

  const Tensor& tensor;
  matrix::Numbers numbers;
  int64_t columns;
  int64_t depth;
  const void* panels;
  Storage made;
};

}  // namespace

extern "C" AOTITorchError aoti_torch_cpu_mkldnn_rnn_layer(
    AtenTensorHandle input, AtenTensorHandle weight0, AtenTensorHandle weight1, AtenTensorHandle weight2,
    AtenTensorHandle weight3, AtenTensorHandle hx_, AtenTensorHandle cx_, int32_t reverse, const int64_t*,
    int64_t batch_sizes_len_, int64_t mode, int64_t hidden_size, int64_t num_layers, int32_t has_biases,
    int32_t bidirectional, int32_t, int32_t train, AtenTensorHandle* ret0, AtenTensorHandle* ret1,
    AtenTensorHandle* ret2, AtenTensorHandle* ret3) {
  return guard(__func__, [&] {
    require(mode == kLstm && num_layers == 1 && bidirectional == 0 && train == 0 && batch_sizes_len_ == 0,
            "only one layer and direction of an LSTM, not packed, not in training; mode ", mode, ", layers ",
            num_layers);
    const Tensor x = contiguous(get(input));
    require(x.dim() == 3 && (x.dtype == ScalarType::Float || x.dtype == ScalarType::BFloat16), "an LSTM on ", x.dim(),
            " dims of ", dtype_name(x.dtype));
    require(hidden_size > 0, "an LSTM of ", hidden_size, " numbers");
    const int64_t steps = x.sizes[0];
    const int64_t batch = x.sizes[1];
    const int64_t inputs = x.sizes[2];
    const int64_t gates = kGates * hidden_size;
    const Weight w_input(get(weight0), x.dtype, gates, inputs);
    const Weight w_state(get(weight1), x.dtype, gates, hidden_size);
    const Tensor bias = zeros({gates}, ScalarType::Float);
    if (has_biases != 0) {
      map<float, float, float>(bias, to(get(weight2), ScalarType::Float), to(get(weight3), ScalarType::Float),
                               [](float a, float b) { return a + b; });
    }
    Tensor out = empty({steps, batch, hidden_size}, x.dtype);
    Tensor h_out = empty(get(hx_).sizes, x.dtype);
    Tensor cells = empty(get(cx_).sizes, ScalarType::Float);
    copy(h_out, get(hx_));
    copy(cells, get(cx_));
    require(h_out.numel() == batch * hidden_size && cells.numel() == batch * hidden_size, "LSTM states of ",
            to_string(h_out.sizes), " and ", to_string(cells.sizes), " for an input of ", to_string(x.sizes));
    const int64_t at_once = std::max<int64_t>(1, kGatesAtOnce / std::max<int64_t>(batch * gates, 1));
    const Tensor sums = empty({std::min(steps, at_once), batch, gates}, ScalarType::Float);
    const auto size = static_cast<int64_t>(element_size(x.dtype));
    // What a step gives, before it is rounded to the layer's own dtype.
    const bool rounds = x.dtype != ScalarType::Float;
    const Tensor unrounded = empty({rounds ? batch : 0, hidden_size}, ScalarType::Float);
    const char* state = static_cast<const char*>(h_out.raw());
    for (int64_t done = 0; done < steps && batch > 0; done += at_once) {
      const int64_t count = std::min(at_once, steps - done);
      const int64_t first = reverse != 0 ? steps - done - count : done;
      matrix::Result of_input;
      of_input.out = sums.data<float>();
      of_input.row_stride = gates;
      of_input.bias = bias.data<float>();
      w_input.multiply(static_cast<const char*>(x.raw()) + first * batch * inputs * size, count * batch, of_input);
      for (int64_t i = 0; i < count; ++i) {
        const int64_t step = reverse != 0 ? count - 1 - i : i;
        matrix::Result of_state;
        of_state.out = sums.data<float>() + step * batch * gates;
        of_state.row_stride = gates;
        of_state.keep = 1;
        w_state.multiply(state, batch, of_state);
        const Tensor next = select(out, 0, first + step);
        matrix::lstm_cells(of_state.out, batch, hidden_size, cells.data<float>(),
                           (rounds ? unrounded : next).data<float>());
        if (rounds) copy(next, unrounded);
        state = static_cast<const char*>(next.raw());
      }
    }
    if (steps > 0 && batch > 0)
      copy(reshape(h_out, {batch, hidden_size}), select(out, 0, reverse != 0 ? 0 : steps - 1));
    Tensor c_out = to(cells, x.dtype);
    Tensor workspace = empty({0}, ScalarType::Byte);  // of training
    give_all({ret0, ret1, ret2, ret3}, std::move(out), std::move(h_out), std::move(c_out), std::move(workspace));
  });
}
