// SPDX-License-Identifier: Apache-2.0
#include "model/int4_order.h"

#include <cstdlib>
#include <string>

#include "base/error.h"
#include "runtime/libtorch_cpu.h"
#include "runtime/runtime.h"

namespace aot {
namespace {

constexpr const char* kSlimReads = "AVX512";

}  // namespace

void check_int4_order(const Package& package) {
  const std::string& order = package.metadata.int4_order;
  if (order.empty()) return;
  if (Runtime::is_slim()) {
    if (order == kSlimReads) return;
    throw Error(AOT_MODEL_MISMATCH, {package.path, " has weights of four bits in torch's order for ", order},
                {"The slim runtime reads the order for ", kSlimReads, "; its results would be wrong."},
                {"Quantise and export the model on a machine with AVX-512, or build with --runtime full."});
  }
  const std::string kind = libtorch_cpu_kind();
  if (kind == order) return;
  const bool is_told = std::getenv("ATEN_CPU_CAPABILITY") != nullptr;  // NOLINT(concurrency-mt-unsafe)
  throw Error(AOT_MACHINE_MISMATCH,
              {package.path, " has weights of four bits in torch's order for ", order, "; libtorch takes this CPU for ",
               kind.empty() ? "an unknown kind" : kind, is_told ? " (ATEN_CPU_CAPABILITY is set)" : ""},
              {"libtorch would read them in another order, and its results would be wrong."},
              {order == kSlimReads ? "Build it with --runtime slim, which reads that order on every CPU."
                                   : "Quantise and export it on a machine with AVX-512, and build it with --runtime "
                                     "slim, which runs it on every CPU."});
}

}  // namespace aot
