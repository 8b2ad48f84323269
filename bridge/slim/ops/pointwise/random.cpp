#include "kernels/random.h"

#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

#include <cmath>
#include <utility>

#include "tensor/iterate.h"
#include "tensor/lanes.h"

using namespace slim;

namespace {

// No model can make a generator of its own in this runtime; the process's serves all.
void require_default(const AtenGeneratorHandle* generator) {
  require(generator == nullptr || *generator == nullptr, "generators other than the default one do not exist here");
}

// Without a dtype float32, for integers too: torch's default of int64 is not the shim's but Python's, which passes it
// on.
Tensor new_tensor(const int64_t* size, int64_t count, const int32_t* dtype) {
  return empty(list(size, count), optional_dtype(dtype).value_or(ScalarType::Float));
}

// Of self's sizes, and of its order of dims unless a format is named.
Tensor new_like(const Tensor& self, const int32_t* dtype, const int32_t* memory_format) {
  const ScalarType wanted = optional_dtype(dtype).value_or(self.dtype);
  if (memory_format == nullptr || *memory_format == static_cast<int32_t>(MemoryFormat::kPreserve)) {
    return empty_like(self, wanted);
  }
  return empty(self.sizes, wanted, static_cast<MemoryFormat>(*memory_format));
}

}  // namespace

extern "C" {

// ---- uniform ------------------------------------------------------------------------------------------------

AOTITorchError aoti_torch_cpu_rand_generator(const int64_t* size, int64_t size_len_, AtenGeneratorHandle* generator,
                                             int32_t* dtype, int32_t*, int32_t*, int32_t, int32_t*,
                                             AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    require_default(generator);
    Tensor out = new_tensor(size, size_len_, dtype);
    fill_uniform(out, 0, 1);
    *ret0 = give(std::move(out));
  });
}

AOTITorchError aoti_torch_cpu_rand(const int64_t* size, int64_t size_len_, int32_t* dtype, int32_t* layout,
                                   int32_t* device, int32_t device_index_, int32_t* pin_memory,
                                   AtenTensorHandle* ret0) {
  return aoti_torch_cpu_rand_generator(size, size_len_, nullptr, dtype, layout, device, device_index_, pin_memory,
                                       ret0);
}

AOTITorchError aoti_torch_cpu_rand_like_generator(AtenTensorHandle self, AtenGeneratorHandle* generator, int32_t* dtype,
                                                  int32_t*, int32_t*, int32_t, int32_t*, int32_t* memory_format,
                                                  AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    require_default(generator);
    Tensor out = new_like(get(self), dtype, memory_format);
    fill_uniform(out, 0, 1);
    *ret0 = give(std::move(out));
  });
}

AOTITorchError aoti_torch_cpu_rand_like(AtenTensorHandle self, int32_t* dtype, int32_t* layout, int32_t* device,
                                        int32_t device_index_, int32_t* pin_memory, int32_t* memory_format,
                                        AtenTensorHandle* ret0) {
  return aoti_torch_cpu_rand_like_generator(self, nullptr, dtype, layout, device, device_index_, pin_memory,
                                            memory_format, ret0);
}

AOTITorchError aoti_torch_cpu_uniform(AtenTensorHandle self, double from, double to, AtenGeneratorHandle* generator,
                                      AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    require_default(generator);
    Tensor out = empty_like(get(self));
    fill_uniform(out, from, to);
    *ret0 = give(std::move(out));
  });
}

// ---- normal -------------------------------------------------------------------------------------------------

AOTITorchError aoti_torch_cpu_randn_generator(const int64_t* size, int64_t size_len_, AtenGeneratorHandle* generator,
                                              int32_t* dtype, int32_t*, int32_t*, int32_t, int32_t*,
                                              AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    require_default(generator);
    Tensor out = new_tensor(size, size_len_, dtype);
    fill_normal(out, 0, 1);
    *ret0 = give(std::move(out));
  });
}

AOTITorchError aoti_torch_cpu_randn(const int64_t* size, int64_t size_len_, int32_t* dtype, int32_t* layout,
                                    int32_t* device, int32_t device_index_, int32_t* pin_memory,
                                    AtenTensorHandle* ret0) {
  return aoti_torch_cpu_randn_generator(size, size_len_, nullptr, dtype, layout, device, device_index_, pin_memory,
                                        ret0);
}

AOTITorchError aoti_torch_cpu_randn_like_generator(AtenTensorHandle self, AtenGeneratorHandle* generator,
                                                   int32_t* dtype, int32_t*, int32_t*, int32_t, int32_t*,
                                                   int32_t* memory_format, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    require_default(generator);
    Tensor out = new_like(get(self), dtype, memory_format);
    fill_normal(out, 0, 1);
    *ret0 = give(std::move(out));
  });
}

AOTITorchError aoti_torch_cpu_randn_like(AtenTensorHandle self, int32_t* dtype, int32_t* layout, int32_t* device,
                                         int32_t device_index_, int32_t* pin_memory, int32_t* memory_format,
                                         AtenTensorHandle* ret0) {
  return aoti_torch_cpu_randn_like_generator(self, nullptr, dtype, layout, device, device_index_, pin_memory,
                                             memory_format, ret0);
}

AOTITorchError aoti_torch_cpu_normal_functional(AtenTensorHandle self, double mean, double std,
                                                AtenGeneratorHandle* generator, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    require_default(generator);
    Tensor out = empty_like(get(self));
    fill_normal(out, mean, std);
    *ret0 = give(std::move(out));
  });
}

// ---- integers -----------------------------------------------------------------------------------------------

AOTITorchError aoti_torch_cpu_randint_low(int64_t low, int64_t high, const int64_t* size, int64_t size_len_,
                                          int32_t* dtype, int32_t*, int32_t*, int32_t, int32_t*,
                                          AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    Tensor out = new_tensor(size, size_len_, dtype);
    fill_integers(out, low, high);
    *ret0 = give(std::move(out));
  });
}

AOTITorchError aoti_torch_cpu_randint(int64_t high, const int64_t* size, int64_t size_len_, int32_t* dtype,
                                      int32_t* layout, int32_t* device, int32_t device_index_, int32_t* pin_memory,
                                      AtenTensorHandle* ret0) {
  return aoti_torch_cpu_randint_low(0, high, size, size_len_, dtype, layout, device, device_index_, pin_memory, ret0);
}

AOTITorchError aoti_torch_cpu_randint_generator(int64_t high, const int64_t* size, int64_t size_len_,
                                                AtenGeneratorHandle* generator, int32_t* dtype, int32_t*, int32_t*,
                                                int32_t, int32_t*, AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    require_default(generator);
    Tensor out = new_tensor(size, size_len_, dtype);
    fill_integers(out, 0, high);
    *ret0 = give(std::move(out));
  });
}

AOTITorchError aoti_torch_cpu_randint_low_out(AtenTensorHandle out, int64_t low, int64_t high, const int64_t* size,
                                              int64_t size_len_) {
  return guard(__func__, [&] {
    require(get(out).sizes == list(size, size_len_), "out of shape ", to_string(get(out).sizes), " for ",
            to_string(list(size, size_len_)));
    fill_integers(get(out), low, high);
  });
}

AOTITorchError aoti_torch_cpu_randint_like_low_dtype(AtenTensorHandle self, int64_t low, int64_t high, int32_t* dtype,
                                                     int32_t*, int32_t*, int32_t, int32_t*, int32_t* memory_format,
                                                     AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    Tensor out = new_like(get(self), dtype, memory_format);
    fill_integers(out, low, high);
    *ret0 = give(std::move(out));
  });
}

AOTITorchError aoti_torch_cpu_randint_like(AtenTensorHandle self, int64_t high, int32_t* dtype, int32_t* layout,
                                           int32_t* device, int32_t device_index_, int32_t* pin_memory,
                                           int32_t* memory_format, AtenTensorHandle* ret0) {
  return aoti_torch_cpu_randint_like_low_dtype(self, 0, high, dtype, layout, device, device_index_, pin_memory,
                                               memory_format, ret0);
}

AOTITorchError aoti_torch_cpu_randperm(int64_t n, int32_t* dtype, int32_t*, int32_t*, int32_t, int32_t*,
                                       AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    require(n >= 0 && n <= INT32_MAX, "a permutation of ", n, " numbers");
    const Tensor order = empty({n}, ScalarType::Long);
    auto* at = order.data<int64_t>();
    for (int64_t i = 0; i < n; ++i) at[i] = i;
    {
      const LockedRandom random;
      // Beyond torch's bound for it, 32 bits are too few to be fair.
      const bool small = n < UINT32_MAX / 20;
      for (int64_t i = 0; i + 1 < n; ++i) {
        const uint64_t drawn = small ? random->random() : random->random64();
        std::swap(at[i], at[i + static_cast<int64_t>(drawn % static_cast<uint64_t>(n - i))]);
      }
    }
    *ret0 = give(to(order, optional_dtype(dtype).value_or(ScalarType::Long)));
  });
}

// ---- others: the same distribution as torch, whose numbers come from MKL where it was built with that -----------

AOTITorchError aoti_torch_cpu_bernoulli__float(AtenTensorHandle self, double p, AtenGeneratorHandle* generator) {
  return guard(__func__, [&] {
    require_default(generator);
    fill_bernoulli(get(self), p);
  });
}

AOTITorchError aoti_torch_cpu_bernoulli__Tensor(AtenTensorHandle self, AtenTensorHandle p,
                                                AtenGeneratorHandle* generator) {
  return guard(__func__, [&] {
    require_default(generator);
    require(is_floating(get(p).dtype), "probabilities of ", dtype_name(get(p).dtype));
    fill_bernoulli(get(self), get(p));
  });
}

AOTITorchError aoti_torch_cpu_exponential(AtenTensorHandle self, double lambd, AtenGeneratorHandle* generator,
                                          AtenTensorHandle* ret0) {
  return guard(__func__, [&] {
    require_default(generator);
    require(lambd > 0, "an exponential distribution of rate ", lambd);
    const Tensor drawn = empty_like(get(self), ScalarType::Double);
    {
      const LockedRandom random;
      for_each<double>(drawn, [&](double& x) { x = -std::log1p(-random->uniform<double>()) / lambd; });
    }
    require(is_floating(get(self).dtype), "an exponential distribution of ", dtype_name(get(self).dtype));
    *ret0 = give(to(drawn, get(self).dtype));
  });
}

AOTITorchError aoti_torch_cpu_native_dropout(AtenTensorHandle input, double p, int32_t* train, AtenTensorHandle* ret0,
                                             AtenTensorHandle* ret1) {
  return guard(__func__, [&] {
    const Tensor& self = get(input);
    require(p >= 0 && p <= 1, "a probability of ", p);
    const bool drops = p > 0 && (train == nullptr || *train != 0);
    Tensor mask = empty_like(self, ScalarType::Bool);
    Tensor out = clone(self);
    if (!drops) {
      fill(mask, 1);
    } else {
      fill_bernoulli(mask, 1 - p);
      visit_floating(self.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        using A = Accumulate<T>;
        const A scale = p < 1 ? static_cast<A>(1 / (1 - p)) : A(0);
        map<T, T, bool>(out, self, mask, [scale](T x, bool kept) {
          return static_cast<T>(static_cast<A>(x) * static_cast<A>(kept) * scale);
        });
      });
    }
    give_all({ret0, ret1}, std::move(out), std::move(mask));
  });
}
}
