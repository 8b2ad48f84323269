// One layer of an LSTM in one direction.
#include <torch/csrc/inductor/aoti_torch/c/shim_cpu.h>

#include "onednn.h"
#include "tensor/iterate.h"
#include "tensor/packed.h"

using namespace slim;
using namespace slim::onednn;

namespace {

constexpr int64_t kLstm = 2;  // torch's number of the mode
constexpr int64_t kGates = 4;

struct Plan {
  memory::desc input_weights;
  memory::desc state_weights;
  dnnl::lstm_forward primitive;
};

// A weight [gates * hidden, inputs] with oneDNN's dims: layer, direction, inputs, gates, hidden.
Tensor ordered(const Tensor& weight, int64_t hidden) {
  if (weight.layout == Layout::kMkldnn) return weight;
  require(weight.dim() == 2 && weight.sizes[0] == kGates * hidden, "LSTM weights of ", to_string(weight.sizes),
          " for a state of ", hidden);
  const int64_t row = weight.strides[0];
  const int64_t inputs = weight.sizes[1];
  return view_as(weight, {1, 1, inputs, kGates, hidden}, {row, row, weight.strides[1], hidden * row, row},
                 weight.offset);
}

Dims sizes_of(const Tensor& weight) { return weight.layout == Layout::kMkldnn ? packed_sizes(weight) : weight.sizes; }

// A state [..., batch, hidden] with a layer and a direction in front.
Tensor as_state(const Tensor& state, int64_t batch, int64_t hidden) {
  return reshape(contiguous(state), {1, 1, batch, hidden});
}

}  // namespace

extern "C" AOTITorchError aoti_torch_cpu_mkldnn_rnn_layer(
    AtenTensorHandle input, AtenTensorHandle weight0, AtenTensorHandle weight1, AtenTensorHandle weight2,
    AtenTensorHandle weight3, AtenTensorHandle hx_, AtenTensorHandle cx_, int32_t reverse, const int64_t*,
    int64_t batch_sizes_len_, int64_t mode, int64_t hidden_size, int64_t num_layers, int32_t has_biases,
    int32_t bidirectional, int32_t, int32_t train, AtenTensorHandle* ret0, AtenTensorHandle* ret1,
    AtenTensorHandle* ret2, AtenTensorHandle* ret3) {
  return guard(__func__, [&] {
    static Plans<Plan>& plans = *new Plans<Plan>;
    require(mode == kLstm && num_layers == 1 && bidirectional == 0 && train == 0 && batch_sizes_len_ == 0,
            "only one layer and direction of an LSTM, not packed, not in training; mode ", mode, ", layers ",
            num_layers);
    const Tensor x = contiguous(get(input));
    require(x.dim() == 3 && x.dtype == ScalarType::Float, "an LSTM on ", x.dim(), " dims of ", dtype_name(x.dtype));
    const int64_t steps = x.sizes[0];
    const int64_t batch = x.sizes[1];
    const Tensor w_input = ordered(get(weight0), hidden_size);
    const Tensor w_state = ordered(get(weight1), hidden_size);
    require(sizes_of(w_input)[2] == x.sizes[2] && sizes_of(w_state)[2] == hidden_size, "LSTM weights of ",
            to_string(sizes_of(w_input)), " and ", to_string(sizes_of(w_state)), " on an input of ",
            to_string(x.sizes));
    Tensor bias = zeros({1, 1, kGates, hidden_size}, x.dtype);
    if (has_biases != 0) {
      const Tensor flat = reshape(bias, {kGates * hidden_size});
      map<float, float, float>(flat, get(weight2), get(weight3), [](float a, float b) { return a + b; });
    }
    const Tensor h = as_state(get(hx_), batch, hidden_size);
    const Tensor c = as_state(get(cx_), batch, hidden_size);
    Tensor out = empty({steps, batch, hidden_size}, x.dtype);
    Tensor h_out = empty(get(hx_).sizes, x.dtype);
    Tensor c_out = empty(get(cx_).sizes, x.dtype);
    if (steps == 0 || batch == 0) {
      copy(h_out, get(hx_));
      copy(c_out, get(cx_));
    } else {
      const auto h_desc = desc_of(as_state(h_out, batch, hidden_size));
      Key key;
      key.add(x.sizes).add(hidden_size).add(static_cast<int64_t>(reverse));
      const auto plan = plans.get(key, [&]() -> Plan {
        const auto direction = reverse != 0 ? dnnl::rnn_direction::unidirectional_right2left
                                            : dnnl::rnn_direction::unidirectional_left2right;
        const dnnl::lstm_forward::primitive_desc description(
            engine(), dnnl::prop_kind::forward_inference, direction, desc_of(x), h_desc, h_desc,
            any_desc(sizes_of(w_input), x.dtype), any_desc(sizes_of(w_state), x.dtype), desc_of(bias), desc_of(out),
            h_desc, h_desc, attributes());
        return {description.weights_layer_desc(), description.weights_iter_desc(), dnnl::lstm_forward(description)};
      });
      auto weight_of = [&](const Tensor& w, const memory::desc& wanted) {
        return weights(w, w.layout == Layout::kStrided ? desc_of(w) : memory::desc(), wanted);
      };
      run(plan->primitive, {{DNNL_ARG_SRC_LAYER, wrap(x)},
                            {DNNL_ARG_SRC_ITER, wrap(h)},
                            {DNNL_ARG_SRC_ITER_C, wrap(c)},
                            {DNNL_ARG_WEIGHTS_LAYER, weight_of(w_input, plan->input_weights)},
                            {DNNL_ARG_WEIGHTS_ITER, weight_of(w_state, plan->state_weights)},
                            {DNNL_ARG_BIAS, wrap(bias)},
                            {DNNL_ARG_DST_LAYER, wrap(out)},
                            {DNNL_ARG_DST_ITER, wrap(h_desc, h_out.raw())},
                            {DNNL_ARG_DST_ITER_C, wrap(h_desc, c_out.raw())}});
    }
    Tensor workspace = empty({0}, ScalarType::Byte);  // of training
    give_all({ret0, ret1, ret2, ret3}, std::move(out), std::move(h_out), std::move(c_out), std::move(workspace));
  });
}
