// SPDX-License-Identifier: Apache-2.0
#include "model/variants.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/amx.h"
#include "base/cpu_features.h"
#include "base/error.h"
#include "base/libc_version.h"
#include "base/text.h"
#include "model/halves.h"
#include "package/json.h"

namespace aot {
namespace {

constexpr const char* kVariable = "AOT_VARIANT";

std::vector<std::string> names_of(const std::vector<Variant>& variants) {
  std::vector<std::string> names;
  names.reserve(variants.size());
  for (const Variant& variant : variants) names.push_back(variant.name);
  return names;
}

bool is_gpu(const std::string& device) { return parse_device(device).type != AOT_DEVICE_CPU; }

/// The best rank of code for some architectures on a GPU (`gpu_code_rank`); 1 where that cannot be told.
int32_t gpu_rank(const std::vector<std::string>& archs, const std::string& gpu) {
  if (gpu.empty() || archs.empty()) return 1;
  int32_t best = 0;
  for (const std::string& code : archs) best = std::max(best, gpu_code_rank(code, gpu));
  return best;
}

/// Why a device of a variant's kind is not to be had: empty when it is.
std::string lacks_device(const Variant& variant, const char* wanted) {
  try {
    const DeviceName own = parse_device(variant.device);
    const DeviceName name = wanted != nullptr ? parse_device(wanted) : own;
    if ((name.type == AOT_DEVICE_CPU) != (own.type == AOT_DEVICE_CPU)) return concat({"not for ", wanted});
    if (own.type == AOT_DEVICE_CPU) return "";
    const std::string gpu = find_device(name).architecture();
    if (gpu_rank(variant.gpu_archs, gpu) > 0) return "";
    return concat({"code for ", join(variant.gpu_archs), "; the GPU is ", gpu});
  } catch (const Error& error) {
    const std::string_view text = error.what();
    return std::string(text.substr(0, text.find('\n')));
  }
}

/// Why this machine cannot run a form of the model: empty when it can.
std::string obstacle(const Metadata& metadata, const Variant& variant, const char* device) {
  const std::string libc = libc_version();
  if (!libc.empty() && is_older(libc, variant.glibc_floor)) {
    return concat({"needs glibc ", variant.glibc_floor, "; this process has ", libc});
  }
  const std::vector<std::string> missing = missing_cpu_features(variant.cpu_features);
  if (!missing.empty()) return concat({"this CPU lacks ", join(missing)});
  if (uses_tiles(variant.cpu_features)) {
    const int refusal = ask_for_tiles();
    if (refusal != 0) return concat({"the kernel refuses the registers of AMX: ", std::strerror(refusal)});
  }
  const std::string lacking = lacks_device(variant, device);
  return lacking.empty() ? halves_obstacle(metadata, variant) : lacking;
}

/// The name that was asked for: empty when none was.
std::string wanted_name(const aot_load_options& options) {
  if (options.variant != nullptr) return options.variant;
  const char* set = std::getenv(kVariable);  // NOLINT(concurrency-mt-unsafe)
  return set != nullptr ? set : "";
}

struct Choice {
  const Variant* variant;
  std::vector<std::string> obstacles;  // of each variant; empty texts for those that run
};

/// How well a variant suits the device that it runs on, which is there: 0 for the CPU, whose variants are in order.
int32_t rank_of(const Variant& variant, const char* wanted) {
  const DeviceName own = parse_device(variant.device);
  if (own.type == AOT_DEVICE_CPU) return 0;
  return gpu_rank(variant.gpu_archs, find_device(wanted != nullptr ? parse_device(wanted) : own).architecture());
}

Choice choose(const aot_load_options& options, const Metadata& metadata, const std::string& path, bool is_explaining) {
  const std::vector<Variant>& variants = metadata.variants;
  Choice choice{nullptr, std::vector<std::string>(variants.size())};
  const std::string wanted = wanted_name(options);
  int32_t best = -1;
  for (size_t i = variants.size(); i-- > 0;) {
    // Those for GPUs are the last, and which of them is the best is not said by their order.
    if (choice.variant != nullptr && !is_explaining && !is_gpu(variants[i].device)) break;
    if (!wanted.empty() && !is_explaining && variants[i].name != wanted) continue;
    if (wanted.empty() || is_explaining) choice.obstacles[i] = obstacle(metadata, variants[i], options.device);
    const bool is_able = wanted.empty() ? choice.obstacles[i].empty() : variants[i].name == wanted;
    const int32_t rank = is_able && wanted.empty() ? rank_of(variants[i], options.device) : 0;
    if (!is_able || rank <= best) continue;
    best = rank;
    choice.variant = &variants[i];
  }
  if (choice.variant == nullptr && !wanted.empty()) {
    throw usage_error({path, " has no variant \"", wanted, "\"; it has ", join(names_of(variants))},
                      {"A variant is named by aot_load_options.variant, or by the environment variable AOT_VARIANT."},
                      {"Name one of them, or none: then the best that this machine can run is taken."});
  }
  return choice;
}

/// The least demanding one for the kind of device that was asked for.
const Variant* least(const aot_load_options& options, const std::vector<Variant>& variants) {
  for (const Variant& variant : variants) {
    if (options.device == nullptr || is_gpu(variant.device) == is_gpu(options.device)) return &variant;
  }
  return &variants.front();
}

}  // namespace

void choose_variant(const aot_load_options& options, Metadata* metadata, const std::string& path) {
  if (metadata->variants.empty()) {
    if (options.variant == nullptr || *options.variant == '\0') return;
    throw usage_error({path, " has no variant \"", options.variant, "\"; it has one form only"},
                      {"Its package was made for one kind of CPU."},
                      {"Leave the variant out, or export the model again with --cpu-isa portable."});
  }
  const Choice choice = choose(options, *metadata, path, /*is_explaining=*/false);
  const Variant& taken = choice.variant != nullptr ? *choice.variant : *least(options, metadata->variants);
  metadata->take(Variant(taken));
}

std::string explain_variants(const aot_load_options& options, const Metadata& metadata, const std::string& path) {
  const auto quoted = [](const std::string& text) { return text.empty() ? "null" : json_quote(text); };
  const std::vector<Variant>& variants = metadata.variants;
  std::string rows;
  std::string chosen;
  std::string refused;
  if (variants.empty()) {
    refused = obstacle(metadata, metadata.form(), options.device);
  } else {
    const Choice choice = choose(options, metadata, path, /*is_explaining=*/true);
    if (choice.variant != nullptr) chosen = choice.variant->name;
    const Variant* taken = choice.variant != nullptr ? choice.variant : least(options, variants);
    refused = choice.obstacles[static_cast<size_t>(taken - variants.data())];
    for (size_t i = 0; i < variants.size(); ++i) {
      const Variant& variant = variants[i];
      rows += concat(
          {rows.empty() ? "" : ", ", "{\"name\": ", json_quote(variant.name),
           ", \"device\": ", json_quote(variant.device), ", \"cpu_features\": ", json_quote(variant.cpu_features),
           ", \"gpu_archs\": ", json_quote(variant.gpu_archs), ", \"obstacle\": ", quoted(choice.obstacles[i]), "}"});
    }
  }
  return concat({"{\"schema\": 1, \"chosen\": ", quoted(chosen), ", \"obstacle\": ", quoted(refused),
                 ", \"variants\": [", rows, "]}"});
}

void check_gpu(const std::string& path, const std::vector<std::string>& archs, const Device& device) {
  const std::string gpu = device.architecture();
  if (gpu_rank(archs, gpu) > 0) return;
  throw Error(AOT_MODEL_MISMATCH, {path, " has code for ", join(archs), "; ", to_string(device.id()), " is ", gpu},
              {"Compiled GPU code runs on the architectures that it was exported for."},
              {"Choose another device, or export the model for this GPU as well: --arch ", gpu});
}

}  // namespace aot
