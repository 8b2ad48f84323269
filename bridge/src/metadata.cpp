// SPDX-License-Identifier: Apache-2.0
#include "metadata.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "error.h"

namespace aot {
namespace {

using Json = nlohmann::json;

constexpr int kSchema = 1;

Error malformed(const std::string& where, const std::string& reason) {
  return damaged_error(where + " is malformed: " + reason, "The description of the model cannot be read.");
}

Json parse_object(std::string_view text, const std::string& where) {
  Json document = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) throw malformed(where, "it is not a JSON object");
  return document;
}

int64_t size_at(const Json& object, const char* key, int64_t otherwise) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return otherwise;
  return found->get<int64_t>();
}

Dim parse_dim(const Json& value) {
  if (value.is_null()) return {-1, -1, ""};
  if (value.is_object()) {
    return {size_at(value, "min", 0), size_at(value, "max", std::numeric_limits<int64_t>::max()),
            value.at("symbol").get<std::string>()};
  }
  const auto size = value.get<int64_t>();
  return {size, size, ""};
}

std::vector<TensorSpec> parse_specs(const Json& document, const char* key, bool is_input, const std::string& where) {
  std::vector<TensorSpec> specs;
  for (const Json& value : document.at(key)) {
    TensorSpec spec;
    spec.name = value.at("name").get<std::string>();
    spec.dtype = dtype_from_name(value.at("dtype").get<std::string>());
    for (const Json& dim_value : value.at("dims")) {
      Dim dim = parse_dim(dim_value);
      const bool unknown = dim.min < 0;
      if ((unknown && is_input) || (!unknown && dim.max < dim.min)) {
        throw malformed(where, '"' + spec.name + "\" has a dim that no size can satisfy");
      }
      spec.dims.push_back(std::move(dim));
    }
    specs.push_back(std::move(spec));
  }
  return specs;
}

std::string text_at(const Json& object, const char* key, const char* otherwise) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? otherwise : found->get<std::string>();
}

std::vector<std::string> texts_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() ? std::vector<std::string>{} : found->get<std::vector<std::string>>();
}

/// AOTI_CPU_ISA is a list of Inductor's instruction sets, such as "AVX512 AVX512_VNNI AMX_TILE"; each stands for these features.
std::vector<std::string> features_of_isa(const std::string& isa_list) {
  std::vector<std::string> features;
  std::istringstream words(isa_list);
  for (std::string word; words >> word;) {
    if (word == "AVX2") {
      features.insert(features.end(), {"avx2", "fma", "f16c"});
    } else if (word == "AVX512") {
      features.insert(features.end(), {"avx512f", "avx512dq", "avx512vl", "avx512bw", "fma"});
    } else if (word == "AVX512_VNNI") {
      features.emplace_back("avx512_vnni");
    } else if (word == "AMX_TILE") {
      features.insert(features.end(), {"amx_tile", "amx_bf16", "amx_int8"});
    }
  }
  return features;
}

}  // namespace

Metadata parse_metadata(std::string_view text, const std::string& where) {
  const Json document = parse_object(text, where);
  try {
    const auto schema = document.at("schema").get<int64_t>();
    if (schema != kSchema) {
      throw Error(AOT_MODEL_MISMATCH,
                  where + " has schema " + std::to_string(schema) + "; this bridge reads schema " +
                      std::to_string(kSchema),
                  "The model and the bundle were made by different versions of aotpack.",
                  "Build the bundle again with the aotpack that exported the model.");
    }
    Metadata metadata;
    metadata.has_signature = document.value("has_signature", true);
    if (metadata.has_signature) {
      metadata.inputs = parse_specs(document, "inputs", /*is_input=*/true, where);
      metadata.outputs = parse_specs(document, "outputs", /*is_input=*/false, where);
    }
    metadata.device = text_at(document, "device", "cpu");
    metadata.machine = text_at(document, "machine", "");
    metadata.torch_version = text_at(document, "torch_version", "");
    metadata.cpu_features = texts_at(document, "cpu_features");
    metadata.gpu_archs = texts_at(document, "gpu_archs");
    metadata.text = std::string(text);
    return metadata;
  } catch (const Json::exception& error) {
    throw malformed(where, error.what());
  }
}

Metadata parse_aoti_metadata(std::string_view text, const std::string& where) {
  const Json document = parse_object(text, where);
  try {
    const auto own = document.find("aotpack");
    if (own != document.end()) return parse_metadata(own->get<std::string>(), where + ", key \"aotpack\"");
    Json plain = {
        {"schema", kSchema},
        {"has_signature", false},
        {"inputs", Json::array()},
        {"outputs", Json::array()},
        {"device", text_at(document, "AOTI_DEVICE_KEY", "cpu")},
        {"machine", text_at(document, "AOTI_MACHINE", "")},
        {"cpu_features", features_of_isa(text_at(document, "AOTI_CPU_ISA", ""))},
    };
    return parse_metadata(plain.dump(), where);
  } catch (const Json::exception& error) {
    throw malformed(where, error.what());
  }
}

}  // namespace aot
