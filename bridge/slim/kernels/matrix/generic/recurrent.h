// What follows the products of a recurrent layer. Included in each set's folder after functions.h.
#pragma once

#include <cstdint>

#include "../kernels.h"

namespace slim::matrix {
namespace {

// Gates [4][hidden]: of input, of what is forgotten, the candidate, of output.
void lstm_cell(const float* gates, int64_t hidden, float* cell, float* state) {
  for (int64_t j = 0; j < hidden; j += kLanes) {
    const int64_t count = hidden - j;
    const F input = sigmoid(load_some(gates + j, count));
    const F kept = sigmoid(load_some(gates + hidden + j, count));
    const F candidate = tanh_of(load_some(gates + 2 * hidden + j, count));
    const F output = sigmoid(load_some(gates + 3 * hidden + j, count));
    const F value = kept * load_some(cell + j, count) + input * candidate;
    store_some(cell + j, value, count);
    store_some(state + j, output * tanh_of(value), count);
  }
}

}  // namespace
}  // namespace slim::matrix
