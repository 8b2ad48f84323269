#include <torch/csrc/inductor/aoti_torch/generated/c_shim_aten.h>
#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "tensor/lanes.h"

using namespace slim;

namespace {

// Elements before and after self along each dim; negative ones cut.
struct Margins {
  Dims before, after;
};

Margins margins(const Tensor& self, const Dims& pad) {
  require(pad.size() % 2 == 0 && pad.size() / 2 <= self.sizes.size(), "pad ", to_string(pad), " for ", self.dim(),
          " dims");
  Margins m{Dims(self.sizes.size()), Dims(self.sizes.size())};
  for (size_t i = 0; i < pad.size() / 2; ++i) {
    const size_t d = self.sizes.size() - 1 - i;
    m.before[d] = pad[2 * i];
    m.after[d] = pad[2 * i + 1];
  }
  return m;
}

Dims padded_sizes(const Tensor& self, const Margins& m) {
  Dims sizes = self.sizes;
  for (size_t d = 0; d < sizes.size(); ++d) {
    sizes[d] += m.before[d] + m.after[d];
    require(sizes[d] >= 0, "padding of ", m.before[d], " and ", m.after[d], " for size ", self.sizes[d],
            " leaves less than 0");
  }
  return sizes;
}

// What negative margins leave of self.
Tensor cut(const Tensor& self, const Margins& m) {
  Tensor kept = self;
  for (int64_t d = 0; d < self.dim(); ++d) {
    const int64_t before = std::max<int64_t>(-m.before[d], 0);
    kept = narrow(kept, d, before, self.size(d) - before - std::max<int64_t>(-m.after[d], 0));
  }
  return kept;
}

Tensor constant_pad(const Tensor& self, const Margins& m, double value) {
  const Dims sizes = padded_sizes(self, m);
  const Tensor kept = cut(self, m);
  auto cuts = [](int64_t margin) { return margin <= 0; };
  if (std::all_of(m.before.begin(), m.before.end(), cuts) && std::all_of(m.after.begin(), m.after.end(), cuts)) {
    return clone(kept);
  }
  Tensor out = empty(sizes, self.dtype, suggest_memory_format(self));
  fill(out, value);
  Tensor to = out;
  for (int64_t d = 0; d < self.dim(); ++d) to = narrow(to, d, std::max<int64_t>(m.before[d], 0), kept.size(d));
  copy(to, kept);
  return out;
}

enum class Mode { kReflect, kReplicate, kCircular };

// The input's element that stands at `at`, counted from the input's first, in the padded row.
int64_t source_of(int64_t at, int64_t size, Mode mode) {
  if (mode == Mode::kReplicate) return std::clamp<int64_t>(at, 0, size - 1);
  if (mode == Mode::kCircular) return ((at % size) + size) % size;
  if (at < 0) return -at;
  return at >= size ? 2 * size - 2 - at : at;
}

Tensor repeating_pad(const Tensor& self, const Dims& pad, Mode mode) {
  const Margins m = margins(self, pad);
  const Dims sizes = padded_sizes(self, m);
  const auto rank = static_cast<int64_t>(pad.size() / 2);
  require(rank >= 1 && rank <= 3 && (self.dim() == rank + 1 || self.dim() == rank + 2), "pad ", to_string(pad),
          " of this mode for shape ", to_string(self.sizes));
  // Only the circular mode repeats what is left after cutting; the others repeat the whole.
  Tensor current = mode == Mode::kCircular ? cut(self, m) : self;
  for (int64_t d = self.dim() - rank; d < self.dim(); ++d) {
    const int64_t size = current.size(d);
    const int64_t first = mode == Mode::kCircular ? std::max<int64_t>(m.before[d], 0) : m.before[d];
    const int64_t most = std::max(m.before[d], m.after[d]);
    const int64_t limit = mode == Mode::kReflect ? size - 1 : mode == Mode::kCircular ? size : INT64_MAX;
    require(size > 0 && (sizes[d] > 0 || mode == Mode::kReplicate) && most <= limit, "padding of ", most,
            " exceeds what size ", size, " of dim ", d, " allows");
    Dims next = current.sizes;
    next[d] = sizes[d];
    Tensor wider = empty(next, self.dtype);
    const int64_t kept = std::min(first + size, sizes[d]);  // where the input itself ends
    if (kept > std::max<int64_t>(first, 0)) {
      copy(narrow(wider, d, std::max<int64_t>(first, 0), kept - std::max<int64_t>(first, 0)),
           narrow(current, d, std::max<int64_t>(-first, 0), kept - std::max<int64_t>(first, 0)));
    }
    for (int64_t i = 0; i < sizes[d]; ++i) {
      if (i >= first && i < kept) continue;
      copy(select(wider, d, i), select(current, d, source_of(i - first, size, mode)));
    }
    current = wider;
  }
  const bool keeps_format = mode == Mode::kReplicate || (mode == Mode::kReflect && rank >= 2);
  if (!keeps_format || suggest_memory_format(self) == MemoryFormat::kContiguous) return current;
  Tensor arranged = empty(current.sizes, self.dtype, suggest_memory_format(self));
  copy(arranged, current);
  return arranged;
}

Tensor pad(const Tensor& self, const Dims& widths, std::string_view mode, std::optional<double> value) {
  if (mode == "constant") return constant_pad(self, margins(self, widths), value.value_or(0));
  require(!value || *value == 0, "a value goes with constant padding alone");
  if (mode == "reflect") return repeating_pad(self, widths, Mode::kReflect);
  if (mode == "replicate") return repeating_pad(self, widths, Mode::kReplicate);
  if (mode == "circular") return repeating_pad(self, widths, Mode::kCircular);
  fail("mode \"", mode, "\" is none of constant, reflect, replicate, circular");
}

}  // namespace

extern "C" {

AOTITorchError aoti_torch_cpu_pad(AtenTensorHandle self, const int64_t* widths, int64_t pad_len_, const char* mode,
                                  double* value, AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(pad(get(self), list(widths, pad_len_), mode, optional(value))); });
}

AOTITorchError aoti_torch_aten_pad(AtenTensorHandle self, const int64_t* widths, int64_t pad_len_, const char* mode,
                                   double* value, AtenTensorHandle* ret0) {
  return guard(__func__, [&] { *ret0 = give(pad(get(self), list(widths, pad_len_), mode, optional(value))); });
}
}
