// SPDX-License-Identifier: Apache-2.0
#include "package/metadata.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "package/json.h"

namespace aot {
namespace {

constexpr int64_t kSchema = 4;

Error malformed(const std::string& where, const std::string& reason) {
  return damaged_error({where, " is malformed: ", reason}, {"The description of the model cannot be read."});
}

/// A member that may be absent or null.
const Json* given(const Json& object, const char* key) {
  const Json* value = object.find(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

int64_t integer_at(const Json& object, const char* key, int64_t otherwise) {
  const Json* value = given(object, key);
  return value == nullptr ? otherwise : value->integer();
}

std::string text_at(const Json& object, const char* key, const char* otherwise) {
  const Json* value = given(object, key);
  return value == nullptr ? otherwise : value->text();
}

std::vector<std::string> texts_at(const Json& object, const char* key) {
  const Json* value = given(object, key);
  return value == nullptr ? std::vector<std::string>{} : value->texts();
}

Dim parse_dim(const Json& value) {
  if (value.is_null()) return {-1, -1, ""};
  if (value.kind() == Json::Kind::Object) {
    Dim dim{integer_at(value, "min", 0), integer_at(value, "max", std::numeric_limits<int64_t>::max()),
            value.at("symbol").text()};
    dim.of = text_at(value, "of", "");
    dim.factor = integer_at(value, "factor", 1);
    dim.offset = integer_at(value, "offset", 0);
    return dim;
  }
  return {value.integer(), value.integer(), ""};
}

std::vector<TensorSpec> parse_specs(const Json& values, bool is_input) {
  std::vector<TensorSpec> specs;
  for (const Json& value : values.items()) {
    TensorSpec spec;
    spec.name = value.at("name").text();
    spec.dtype = dtype_from_name(value.at("dtype").text());
    if (const Json* mutated = given(value, "mutated")) {
      spec.mutation = mutated->boolean() ? AOT_MUTATED : AOT_NOT_MUTATED;
    }
    for (const Json& dim_value : value.at("dims").items()) {
      Dim dim = parse_dim(dim_value);
      const bool is_unknown = dim_value.is_null();
      if (is_unknown ? is_input : dim.min < 0 || dim.max < dim.min || dim.factor == 0) {
        throw JsonError(concat({"\"", spec.name, "\" has a dim that no size can satisfy"}));
      }
      spec.dims.push_back(std::move(dim));
    }
    specs.push_back(std::move(spec));
  }
  return specs;
}

std::vector<int64_t> sizes_at(const Json& object, const char* key) {
  std::vector<int64_t> sizes;
  if (const Json* values = given(object, key)) {
    for (const Json& value : values->items()) {
      sizes.push_back(value.integer());
      if (sizes.back() < 0) throw JsonError(concat({"a negative number in \"", key, "\""}));
    }
  }
  return sizes;
}

/// What oneDNN divides and allocates by is checked here: it believes what it is told.
std::optional<Convolution> parse_convolution(const Json& constant, const std::vector<int64_t>& shape) {
  const Json* value = given(constant, "convolution");
  if (value == nullptr) return std::nullopt;
  Convolution convolution;
  convolution.padding = sizes_at(*value, "padding");
  convolution.stride = sizes_at(*value, "stride");
  convolution.dilation = sizes_at(*value, "dilation");
  convolution.is_transposed = given(*value, "output_padding") != nullptr;
  convolution.output_padding = sizes_at(*value, "output_padding");
  convolution.input = sizes_at(*value, "input");
  convolution.groups = integer_at(*value, "groups", 1);
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  const auto are = [](const std::vector<int64_t>& numbers, size_t count, int64_t least) {
    const auto is_fit = [least](int64_t number) { return number >= least && number <= kMost; };
    return numbers.size() == count && std::all_of(numbers.begin(), numbers.end(), is_fit);
  };
  const size_t ndim = shape.size();
  const size_t dims = ndim - 2;
  if (ndim < 3 || !are(convolution.padding, dims, 0) || !are(convolution.stride, dims, 1) ||
      !are(convolution.dilation, dims, 1) ||
      !are(convolution.output_padding, convolution.is_transposed ? dims : 0, 0) ||
      !are(convolution.input, convolution.input.empty() ? 0 : ndim, 1) || !are({convolution.groups}, 1, 1) ||
      shape[0] % convolution.groups != 0) {
    throw JsonError("a convolution cannot be as described");
  }
  return convolution;
}

std::vector<ConstantSpec> parse_constants(const Json& document, size_t layouts, size_t files) {
  std::vector<ConstantSpec> constants;
  if (const Json* values = given(document, "constants")) {
    for (const Json& value : values->items()) {
      ConstantSpec constant{sizes_at(value, "shape"),       sizes_at(value, "strides"),
                            integer_at(value, "offset", 0), integer_at(value, "layout", -1),
                            integer_at(value, "begin", -1), integer_at(value, "file", 0)};
      if (constant.offset < 0 || constant.layout < -1 || constant.layout >= static_cast<int64_t>(layouts) ||
          constant.begin < -1 || constant.file < 0 || constant.file >= static_cast<int64_t>(files) ||
          (!constant.strides.empty() && constant.strides.size() != constant.shape.size())) {
        throw JsonError("a constant cannot lie as described");
      }
      constant.convolution = parse_convolution(value, constant.shape);
      constant.sha256 = text_at(value, "sha256", "");
      constants.push_back(std::move(constant));
    }
  }
  return constants;
}

/// A name of a file or folder, and no way out of the place it is in.
std::string name_at(const Json& object, const char* key, const char* otherwise) {
  std::string name = text_at(object, key, otherwise);
  if (name == "." || name == ".." || name.find_first_of(std::string_view("/\0", 2)) != std::string::npos) {
    throw JsonError(concat({"\"", key, "\" is no name of a file"}));
  }
  return name;
}

std::vector<Variant> parse_variants(const Json& document, const Metadata& metadata) {
  std::vector<Variant> variants;
  const Json* values = given(document, "variants");
  if (values == nullptr) return variants;
  for (const Json& value : values->items()) {
    Variant variant;
    variant.name = value.at("name").text();
    variant.folder = name_at(value, "folder", "");
    variant.library = name_at(value, "library", "model.so");
    variant.device = text_at(value, "device", metadata.device.c_str());
    variant.cpu_features = texts_at(value, "cpu_features");
    variant.gpu_archs = texts_at(value, "gpu_archs");
    if (const Json* floors = given(value, "floors")) variant.glibc_floor = text_at(*floors, "glibc", "");
    if (const Json* constants = given(value, "constants")) {
      variant.has_constants = true;
      for (const Json& index : constants->items()) {
        if (index.integer() < 0 || index.integer() >= static_cast<int64_t>(metadata.constants.size())) {
          throw JsonError(concat({"the variant \"", variant.name, "\" has a constant that there is not"}));
        }
        variant.constants.push_back(static_cast<size_t>(index.integer()));
      }
    }
    variants.push_back(std::move(variant));
  }
  return variants;
}

/// What Inductor's instruction sets stand for.
struct IsaFeature {
  std::string_view isa;
  const char* feature;
};
constexpr IsaFeature kIsaFeatures[] = {
    {"AVX2", "avx2"},
    {"AVX2", "fma"},
    {"AVX2", "f16c"},
    {"AVX512", "avx2"},
    {"AVX512", "fma"},
    {"AVX512", "f16c"},
    {"AVX512", "avx512f"},
    {"AVX512", "avx512dq"},
    {"AVX512", "avx512bw"},
    {"AVX512", "avx512vl"},
    {"AVX512_VNNI", "avx512_vnni"},
    {"AMX_TILE", "amx_tile"},
    {"AMX_TILE", "amx_bf16"},
    {"AMX_TILE", "amx_int8"},
};

/// AOTI_CPU_ISA is a list of instruction sets, such as "AVX512 AVX512_VNNI AMX_TILE".
std::vector<std::string> features_of_isa(const std::string& isa_list) {
  std::vector<std::string> features;
  for (size_t begin = 0, end = 0; end < isa_list.size(); begin = end + 1) {
    end = std::min(isa_list.find(' ', begin), isa_list.size());
    const std::string word = isa_list.substr(begin, end - begin);
    for (const IsaFeature& row : kIsaFeatures) {
      if (row.isa == word) features.push_back(row.feature);
    }
  }
  return features;
}

/// AOTI_COMPUTE_CAPABILITY is "90" of an NVIDIA GPU, "gfx90a" of one of AMD's, which torch calls "cuda" as well, and
/// empty without one.
std::vector<std::string> gpu_code_of(const std::string& capability) {
  if (capability.empty()) return {};
  return {capability[0] >= '0' && capability[0] <= '9' ? "sm_" + capability : capability};
}

}  // namespace

Metadata::Metadata() = default;
Metadata::Metadata(Metadata&& other) noexcept = default;
Metadata& Metadata::operator=(Metadata&& other) noexcept = default;
Metadata::~Metadata() = default;

void Metadata::take(const Variant& chosen) {
  variant = chosen.name;
  folder = chosen.folder;
  library = chosen.library;
  device = chosen.device;
  cpu_features = chosen.cpu_features;
  gpu_archs = chosen.gpu_archs;
  glibc_floor = chosen.glibc_floor;
  if (!chosen.has_constants) return;
  std::vector<ConstantSpec> own;
  own.reserve(chosen.constants.size());
  for (const size_t index : chosen.constants) own.push_back(constants[index]);
  constants = std::move(own);
}

Variant Metadata::form() const {
  Variant form;
  form.name = variant;
  form.folder = folder;
  form.library = library;
  form.device = device;
  form.cpu_features = cpu_features;
  form.gpu_archs = gpu_archs;
  form.glibc_floor = glibc_floor;
  return form;
}

Metadata parse_metadata(std::string_view text, const std::string& where) {
  try {
    const Json document = Json::parse(text);
    const int64_t schema = document.at("schema").integer();
    if (schema < 1 || schema > kSchema) {
      throw Error(AOT_MODEL_MISMATCH, {where, " has schema ", schema, "; this bridge reads up to schema ", kSchema},
                  {"The model is newer than the bundle."},
                  {"Build the bundle again with the version that exported the model."});
    }
    Metadata metadata;
    const Json* has_signature = given(document, "has_signature");
    metadata.has_signature = has_signature == nullptr || has_signature->boolean();
    if (metadata.has_signature) {
      metadata.inputs = parse_specs(document.at("inputs"), /*is_input=*/true);
      metadata.outputs = parse_specs(document.at("outputs"), /*is_input=*/false);
      if (const Json* guards = given(document, "guards")) {
        for (const Json& guard : guards->items()) metadata.guards.emplace_back(guard, metadata.inputs);
      }
    }
    if (const Json* inputs = given(document, "inputs"); inputs != nullptr && !metadata.has_signature) {
      metadata.inputs = parse_specs(*inputs, /*is_input=*/true);  // what the code of plain PyTorch checks
    }
    metadata.device = text_at(document, "device", "cpu");
    metadata.machine = text_at(document, "machine", "");
    metadata.torch_version = text_at(document, "torch_version", "");
    metadata.cpu_features = texts_at(document, "cpu_features");
    metadata.gpu_archs = texts_at(document, "gpu_archs");
    for (const std::string& layout : texts_at(document, "layouts")) metadata.layouts.push_back(from_hex(layout));
    metadata.weights = texts_at(document, "weights");
    if (metadata.weights.empty()) metadata.weights.push_back("weights.blob");
    metadata.constants = parse_constants(document, metadata.layouts.size(), metadata.weights.size());
    metadata.knows_state = given(document, "state") != nullptr;
    metadata.state = texts_at(document, "state");
    const Json* is_rearranged = given(document, "rearranged");
    metadata.is_rearranged = is_rearranged != nullptr && is_rearranged->boolean();
    metadata.packed_on = text_at(document, "packed_on", "");
    metadata.int4_order = text_at(document, "int4_order", "");
    if (const Json* floors = given(document, "floors")) metadata.glibc_floor = text_at(*floors, "glibc", "");
    metadata.variants = parse_variants(document, metadata);
    metadata.text = std::string(text);
    return metadata;
  } catch (const JsonError& error) {
    throw malformed(where, error.what());
  }
}

Metadata parse_aoti_metadata(std::string_view text, const std::string& where, bool has_several_gpus) {
  try {
    const Json document = Json::parse(text);
    const Json* own = document.find("aotpack");
    if (own != nullptr) return parse_metadata(own->text(), concat({where, ", key \"aotpack\""}));
    const std::string capability = text_at(document, "AOTI_COMPUTE_CAPABILITY", "");
    const std::string device = starts_with(capability, "gfx") ? "rocm" : text_at(document, "AOTI_DEVICE_KEY", "cpu");
    const std::string plain = concat(
        {"{\"schema\": ", kSchema, ", \"has_signature\": false, \"inputs\": [], \"outputs\": [], \"device\": ",
         json_quote(device), ", \"machine\": ", json_quote(text_at(document, "AOTI_MACHINE", "")),
         ", \"cpu_features\": ", json_quote(features_of_isa(text_at(document, "AOTI_CPU_ISA", ""))),
         ", \"gpu_archs\": ", json_quote(has_several_gpus ? std::vector<std::string>{} : gpu_code_of(capability)),
         "}"});
    return parse_metadata(plain, where);
  } catch (const JsonError& error) {
    throw malformed(where, error.what());
  }
}

}  // namespace aot
