// SPDX-License-Identifier: Apache-2.0
// What is read from text and what is told in text: JSON, metadata, devices, loader messages, statistics, errors.
#include <cmath>
#include <limits>
#include <new>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/cpu_features.h"
#include "base/libc_version.h"
#include "base/library.h"
#include "check.h"
#include "device/device.h"
#include "model/debug.h"
#include "package/json.h"
#include "package/metadata.h"

namespace {

using aot::Json;

bool is_json(const std::string& text) {
  try {
    Json::parse(text);
    return true;
  } catch (const aot::JsonError&) {
    return false;
  }
}

TEST(json_values_keep_their_kinds) {
  const Json value = Json::parse(R"({"a": [1, -2, "x\u00e9", true, null, 1.5, 18446744073709551615], "b": {}})");
  const auto& items = value.at("a").items();
  CHECK_EQUAL(items[1].integer(), -2);
  CHECK_EQUAL(items[2].text(), "x\xc3\xa9");
  CHECK(items[3].boolean());
  CHECK(items[4].is_null());
  CHECK(items[5].kind() == Json::Kind::Real);
  CHECK(items[6].kind() == Json::Kind::Real);
  CHECK(value.at("b").find("c") == nullptr);
}

TEST(json_errors_are_thrown_not_guessed) {
  CHECK(!is_json(""));
  CHECK(!is_json("{"));
  CHECK(!is_json("{} x"));
  CHECK(!is_json("{\"a\": nan}"));
  CHECK(!is_json("\"\xff\""));
  CHECK(!is_json(std::string(100000, '[')));
  CHECK(is_json(std::string(30, '[') + std::string(30, ']')));
}

TEST(gpu_code_runs_where_the_table_says) {
  struct GpuCode {
    std::string_view code;
    std::string_view gpu;
    std::string_view way;
  };
  const GpuCode cases[] = {
#define GPU_CODE(code, gpu, way) {code, gpu, way},
#include "gpu_code_cases.inc"
#undef GPU_CODE
  };
  const int32_t least_machine_code = aot::gpu_code_rank("gfx9-generic", "gfx900");
  for (const GpuCode& each : cases) {
    const int32_t rank = aot::gpu_code_rank(each.code, each.gpu);
    const std::string_view way = rank == 0 ? "no" : rank < least_machine_code ? "ptx" : "native";
    CHECK_EQUAL(aot::concat({each.code, " on ", each.gpu, ": ", way}),
                aot::concat({each.code, " on ", each.gpu, ": ", each.way}));
  }
  CHECK_EQUAL(aot::gpu_code_rank("sm_", "sm_90"), 0);
  CHECK_EQUAL(aot::gpu_code_rank("", "sm_90"), 0);
  CHECK_EQUAL(aot::gpu_code_rank("compute_", "sm_90"), 0);
  CHECK_EQUAL(aot::gpu_code_rank("gfx9-generic", ""), 0);
}

TEST(gpu_code_that_suits_better_ranks_higher) {
  const char* of_an_sm_90[] = {"compute_75", "compute_80", "sm_90"};
  const char* of_an_sm_89[] = {"compute_80", "sm_80", "sm_86"};
  for (size_t i = 1; i < 3; ++i) {
    CHECK(aot::gpu_code_rank(of_an_sm_90[i - 1], "sm_90") < aot::gpu_code_rank(of_an_sm_90[i], "sm_90"));
    CHECK(aot::gpu_code_rank(of_an_sm_89[i - 1], "sm_89") < aot::gpu_code_rank(of_an_sm_89[i], "sm_89"));
  }
  CHECK(aot::gpu_code_rank("gfx11-generic", "gfx1100") < aot::gpu_code_rank("gfx1100", "gfx1100"));
}

TEST(json_is_read_to_the_letter) {
  for (const char* text : {"0", "-0", "1e5", "1E-5", "-1.25e+3", " [ ] ", "{\"a\":{\"b\":[[]]}}", "\t\r\n true", "\"\"",
                           R"("\"\\\/\b\f\n\r\t")", "\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"", "\"\x7f\"",
                           R"("\u0000\uD834\udd1e")", "9223372036854775807"}) {
    CHECK(is_json(text));
  }
  for (const char* text : {"-",
                           "+1",
                           "01",
                           "1.",
                           ".5",
                           "1e",
                           "1e+",
                           "0x1",
                           "tru",
                           "True",
                           "nulls",
                           "[1,]",
                           "[,1]",
                           "[1 2]",
                           "[1",
                           "]",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{\"a\":1,}",
                           "{a:1}",
                           "{1:2}",
                           "{\"a\":1",
                           "'a'",
                           "\"",
                           "\"\\",
                           "\"a\nb\"",
                           R"("\x")",
                           R"("\u12")",
                           R"("\u12g4")",
                           R"("\u+123")",
                           R"("\uD834")",
                           R"("\uD834\u0041")",
                           R"("\uDD1E")",
                           R"("\uD834\n")",
                           "\"\xc0\x80\"",
                           "\"\xe0\x80\x80\"",
                           "\"\xed\xa0\x80\"",
                           "\"\xf4\x90\x80\x80\"",
                           "\"\xf5\x80\x80\x80\"",
                           "\"\xe2\x82\"",
                           "\"\x80\"",
                           "\v1",
                           "\xef\xbb\xbf{}"}) {
    CHECK(!is_json(text));
  }
  CHECK(!is_json(std::string("\"a\0b\"", 5)));
  CHECK(!is_json(std::string("1\0", 2)));
  CHECK_EQUAL(Json::parse(R"("\u00e9\u20AC\uD834\uDD1e\/")").text(), "\xc3\xa9\xe2\x82\xac\xf0\x9d\x84\x9e/");
  CHECK_EQUAL(Json::parse(R"("a\u0000b")").text(), std::string("a\0b", 3));
  CHECK_EQUAL(Json::parse("-9223372036854775808").integer(), std::numeric_limits<int64_t>::min());
  CHECK(Json::parse("-9223372036854775809").kind() == Json::Kind::Real);
  CHECK(Json::parse("10000000000000000000000").kind() == Json::Kind::Real);
  CHECK(Json::parse("1e2").kind() == Json::Kind::Real);
}

TEST(json_quote_is_json) {
  const std::string text = "a\"b\\c\n\t\x01 \xc3\xa9";
  CHECK_EQUAL(Json::parse(aot::json_quote(text)).text(), text);
  CHECK_EQUAL(aot::json_quote(std::vector<std::string>{"a", "b"}), "[\"a\", \"b\"]");
}

constexpr const char* kDocument = R"({
  "schema": 1, "device": "cpu", "machine": "x86_64", "cpu_features": ["avx2"], "torch_version": null, "novelty": 1,
  "inputs": [{"name": "x", "dtype": "bfloat16", "dims": [{"symbol": "s", "min": 2, "max": null}, 3]}],
  "outputs": [{"name": "y", "dtype": "bool", "dims": [null]}]})";

TEST(metadata_is_read) {
  const aot::Metadata metadata = aot::parse_metadata(kDocument, "model.json");
  CHECK(metadata.has_signature);
  CHECK_EQUAL(metadata.inputs[0].dims[0].min, 2);
  CHECK_EQUAL(metadata.inputs[0].dims[0].max, INT64_MAX);
  CHECK_EQUAL(metadata.inputs[0].dims[1].max, 3);
  CHECK_EQUAL(metadata.outputs[0].dims[0].max, -1);
  CHECK_EQUAL(metadata.cpu_features[0], "avx2");
  CHECK_EQUAL(metadata.text, kDocument);
}

TEST(metadata_tells_how_weights_lie) {
  const std::string start = R"({"schema": 1, "inputs": [], "outputs": [], "constants": )";
  const aot::Metadata metadata = aot::parse_metadata(
      start + R"([{"shape": [2, 3]}, {"shape": [2, 3], "strides": [1, 2], "offset": 4}, {"shape": []},
                  {"shape": [8, 8], "layout": 1}], "layouts": ["", "00ff7a"]})",
      "model.json");
  CHECK_EQUAL(metadata.constants.size(), 4U);
  CHECK_EQUAL(metadata.constants[0].layout, -1);
  CHECK_EQUAL(metadata.constants[3].layout, 1);
  CHECK_EQUAL(metadata.layouts[1], std::string("\0\xffz", 3));
  CHECK(metadata.constants[0].strides.empty());
  CHECK_EQUAL(metadata.constants[1].strides[1], 2);
  CHECK_EQUAL(metadata.constants[1].offset, 4);
  for (const char* bad :
       {R"([{"shape": [-2]}]})", R"([{"shape": [2], "strides": [1, 1]}]})", R"([{"shape": [2], "offset": -1}]})",
        R"([{"strides": [1]}, 3]})", R"([{"shape": [2], "layout": 0}]})",
        R"([{"shape": [2], "layout": 1}], "layouts": ["00"]})", R"([{"shape": [2], "layout": -2}], "layouts": ["00"]})",
        R"([], "layouts": ["0"]})", R"([], "layouts": ["0x"]})"}) {
    CHECK_THROWS(AOT_DAMAGED, "malformed", aot::parse_metadata(start + bad, "model.json"));
  }
}

TEST(metadata_of_others_is_refused) {
  const auto refuse = [](const std::string& text, aot_status status, const char* part) {
    CHECK_THROWS(status, part, aot::parse_metadata(text, "model.json"));
  };
  refuse("{}", AOT_DAMAGED, "no \"schema\"");
  refuse("[]", AOT_DAMAGED, "an object");
  refuse(R"({"schema": 5})", AOT_MODEL_MISMATCH, "schema 5");
  refuse(R"({"schema": 0})", AOT_MODEL_MISMATCH, "schema 0");
  refuse(R"({"schema": 1})", AOT_DAMAGED, "no \"inputs\"");
  const std::string input = R"({"schema": 1, "outputs": [], "inputs": [{"name": "x", "dtype": )";
  refuse(input + R"("float8", "dims": []}]})", AOT_DAMAGED, "float8");
  refuse(input + R"("bool", "dims": [null]}]})", AOT_DAMAGED, "no size can satisfy");
  refuse(input + R"("bool", "dims": [-1]}]})", AOT_DAMAGED, "no size can satisfy");
  refuse(input + R"("bool", "dims": [{"symbol": "s", "min": 3, "max": 2}]}]})", AOT_DAMAGED, "no size can satisfy");
  refuse(input + R"("bool", "dims": [{"symbol": "0*s", "of": "s", "factor": 0}]}]})", AOT_DAMAGED,
         "no size can satisfy");
  refuse(input + R"("bool", "dims": ["3"]}]})", AOT_DAMAGED, "whole number");
}

TEST(metadata_survives_damage) {
  const std::string whole = kDocument;
  std::mt19937 random(1);
  for (int round = 0; round < 5000; ++round) {
    std::string text = whole;
    text[random() % text.size()] = static_cast<char>(random());
    try {
      aot::parse_metadata(text, "model.json");
    } catch (const aot::Error&) {
      continue;
    }
  }
}

TEST(packages_of_plain_pytorch_have_no_signature) {
  const aot::Metadata metadata = aot::parse_aoti_metadata(
      R"({"AOTI_DEVICE_KEY": "cpu", "AOTI_MACHINE": "x86_64", "AOTI_CPU_ISA": "AVX512 AVX512_VNNI"})", "metadata",
      false);
  CHECK(!metadata.has_signature);
  CHECK_EQUAL(metadata.machine, "x86_64");
  CHECK_EQUAL(metadata.cpu_features.back(), "avx512_vnni");
  CHECK(is_json(metadata.text));
  const std::string own = R"({"AOTI_DEVICE_KEY": "cpu", "aotpack": )" + aot::json_quote(kDocument) + "}";
  CHECK(aot::parse_aoti_metadata(own, "metadata", false).has_signature);
}

TEST(keys_of_plain_pytorch_mean_what_the_table_says) {
  struct Keys {
    std::string_view device_key;
    std::string_view capability;
    std::string_view isa;
    std::string_view device;
    std::string_view gpu_archs;
    std::string_view cpu_features;
  };
  const Keys cases[] = {
#define AOTI_KEYS(device_key, capability, isa, device, gpu_archs, cpu_features) \
  {device_key, capability, isa, device, gpu_archs, cpu_features},
#include "aoti_keys_cases.inc"
#undef AOTI_KEYS
  };
  const auto words = [](const std::vector<std::string>& texts) {
    std::string all;
    for (const std::string& text : texts) all += (all.empty() ? "" : " ") + text;
    return all;
  };
  for (const Keys& each : cases) {
    const std::string text =
        aot::concat({R"({"AOTI_DEVICE_KEY": ")", each.device_key, R"(", "AOTI_COMPUTE_CAPABILITY": ")", each.capability,
                     R"(", "AOTI_CPU_ISA": ")", each.isa, R"("})"});
    const aot::Metadata metadata = aot::parse_aoti_metadata(text, "metadata", false);
    CHECK_EQUAL(metadata.device, each.device);
    CHECK_EQUAL(words(metadata.gpu_archs), each.gpu_archs);
    CHECK_EQUAL(words(metadata.cpu_features), each.cpu_features);
    CHECK(aot::parse_aoti_metadata(text, "metadata", true).gpu_archs.empty());
  }
}

TEST(devices_are_parsed) {
  CHECK_EQUAL(aot::parse_device("cpu").type, AOT_DEVICE_CPU);
  CHECK_EQUAL(aot::parse_device("cuda").index, -1);
  CHECK_EQUAL(aot::parse_device("cuda:1").index, 1);
  CHECK_EQUAL(aot::parse_device("rocm:15").type, AOT_DEVICE_ROCM);
  for (const char* text : {"", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:1x", "cuda:99999", "cpu 0", ":0"}) {
    CHECK_THROWS(AOT_USAGE, "is not a device", aot::parse_device(text));
  }
  CHECK_EQUAL(aot::to_string(aot_device{AOT_DEVICE_CUDA, 1}), "cuda:1");
  CHECK_EQUAL(aot::to_string(aot_device{99, 1}), "DLPack device 99:1");
  CHECK_THROWS(AOT_USAGE, "cpu:1", aot::find_device({AOT_DEVICE_CPU, 1}));
  CHECK_THROWS(AOT_MODEL_MISMATCH, "CUDA", aot::find_device({AOT_DEVICE_CUDA, 0}));
}

TEST(the_cpu_tests_itself) {
  aot_device_report report{};
  aot::find_device({AOT_DEVICE_CPU, -1}).self_test(&report);
  CHECK_EQUAL(report.num_devices, 1U);
  CHECK(report.name[0] != '\0');
}

TEST(cpu_features_by_any_spelling) {
  CHECK(aot::missing_cpu_features({"sse2", "SSE2", "sse4_1", "sse4.1"}).empty());
  CHECK_EQUAL(aot::missing_cpu_features({"sse2", "avx9000"})[0], "avx9000");
}

TEST(versions_are_compared_by_number) {
  CHECK(aot::is_older("2.9", "2.34"));
  CHECK(aot::is_older("2.34", "2.34.1"));
  CHECK(!aot::is_older("2.36", "2.34"));
  CHECK(!aot::is_older("2.34", "2.34"));
  CHECK(!aot::is_older("2.34", ""));
  CHECK(!aot::is_older(aot::libc_version(), "2.17"));
}

TEST(loader_messages_are_translated) {
  const auto status = [](const char* message) { return aot::translate_dlerror("model.so", message).status(); };
  const auto text = [](const char* message) { return std::string(aot::translate_dlerror("model.so", message).what()); };
  const char* symbol = "model.so: undefined symbol: aoti_torch_cpu_frob";
  CHECK_EQUAL(status(symbol), AOT_MODEL_MISMATCH);
  CHECK(text(symbol).find("aoti_torch_cpu_frob,") != std::string::npos);
  const char* version = "/lib/libc.so.6: version `GLIBC_2.99' not found (required by model.so)";
  CHECK_EQUAL(status(version), AOT_MACHINE_MISMATCH);
  CHECK(text(version).find("GLIBC_2.99,") != std::string::npos);
  const char* missing = "libgomp.so.1: cannot open shared object file: No such file or directory";
  CHECK_EQUAL(status(missing), AOT_DAMAGED);
  CHECK(text(missing).find("libgomp.so.1 cannot be opened") != std::string::npos);
  CHECK_EQUAL(status("model.so: file too short"), AOT_DAMAGED);
  CHECK_EQUAL(status("something new"), AOT_FAILED);
  // A model of another runtime is no damage; a part of the runtime that is missing is.
  const char* torchs = "libtorch_cpu.so: cannot open shared object file: No such file or directory";
  CHECK_EQUAL(status(torchs), AOT_MODEL_MISMATCH);
  CHECK(text(torchs).find("model.so needs libtorch_cpu.so,") != std::string::npos);
  CHECK_EQUAL(aot::translate_dlerror("/b/lib/libtorch_cuda.so",
                                     "libc10_cuda.so: cannot open shared object file: No such file or directory")
                  .status(),
              AOT_DAMAGED);
  // What the system refuses says nothing of the file.
  CHECK_EQUAL(status("model.so: cannot open shared object file: Permission denied"), AOT_MACHINE_MISMATCH);
  CHECK_EQUAL(status("model.so: failed to map segment from shared object: Operation not permitted"),
              AOT_MACHINE_MISMATCH);
  CHECK(text("model.so: failed to map segment from shared object: Operation not permitted").find("noexec") !=
        std::string::npos);
  CHECK_EQUAL(status("model.so: cannot open shared object file: Too many open files"), AOT_FAILED);
  CHECK_EQUAL(status("model.so: failed to map segment from shared object: Cannot allocate memory"), AOT_FAILED);
  CHECK_EQUAL(status("model.so: failed to map segment from shared object"), AOT_FAILED);
}

TEST(statistics_leave_out_what_is_not_finite) {
  float values[6] = {1, 2, NAN, INFINITY, -INFINITY, 6};
  int64_t shape[2] = {2, 3};
  int64_t strides[2] = {1, 2};
  aot_view view{values, {AOT_DEVICE_CPU, 0}, 2, {AOT_FLOAT, 32, 1}, shape, strides, 0};
  CHECK_EQUAL(aot::describe(view), "float32 [2, 3] strides [1, 2] on cpu: min 1 max 6 mean 3, 1 NaN, 2 inf");
  shape[1] = 0;
  CHECK_EQUAL(aot::describe(view), "float32 [2, 0] on cpu: empty");
}

TEST(statistics_know_small_floats) {
  uint16_t halves[4] = {0x3c00, 0xc000, 0x0001, 0x7c00};  // 1, -2, 2^-24, infinity
  int64_t shape[1] = {4};
  aot_view view{halves, {AOT_DEVICE_CPU, 0}, 1, {AOT_FLOAT, 16, 1}, shape, nullptr, 0};
  CHECK_EQUAL(aot::describe(view), "float16 [4] on cpu: min -2 max 1 mean -0.333333, 0 NaN, 1 inf");
  uint16_t brains[2] = {0x3f80, 0x4040};  // 1, 3
  shape[0] = 2;
  view.data = brains;
  view.dtype = {AOT_BFLOAT, 16, 1};
  CHECK_EQUAL(aot::describe(view), "bfloat16 [2] on cpu: min 1 max 3 mean 2, 0 NaN, 0 inf");
}

TEST(messages_are_put_together) {
  const std::string name = "x";
  CHECK_EQUAL(aot::concat({}), "");
  CHECK_EQUAL(aot::concat({"dim ", 0, " of ", name, std::string_view(": ab", 3)}), "dim 0 of x: a");
  CHECK_EQUAL(aot::concat({std::numeric_limits<int64_t>::min(), " ", std::numeric_limits<uint64_t>::max(), " ", -1}),
              "-9223372036854775808 18446744073709551615 -1");
  CHECK_EQUAL(aot::join({}), "");
  CHECK_EQUAL(aot::join({"a", "b", ""}), "a, b, ");
  const int64_t sizes[] = {2, -3};
  CHECK_EQUAL(aot::list(sizes, 0), "[]");
  CHECK_EQUAL(aot::list(sizes, 2), "[2, -3]");
}

TEST(messages_are_three_lines_always) {
  CHECK_EQUAL(std::string(aot::usage_error({"a\n", "b\n"}, {"c\r\nd"}, {"e"}).what()), "a b\nc d\ne");
  CHECK_EQUAL(aot::guarded([] { throw aot::usage_error({"what"}, {"meaning"}, {"fix"}); }), AOT_USAGE);
  CHECK_EQUAL(std::string(aot::last_error()), "what\nmeaning\nfix");
  CHECK_EQUAL(aot::guarded([] { throw std::bad_alloc(); }), AOT_FAILED);
  CHECK(std::string(aot::last_error()).find("out of memory") == 0);
  CHECK_EQUAL(aot::guarded([] { throw 1; }), AOT_FAILED);
  CHECK(std::string(aot::last_error()).find("unknown type") != std::string::npos);
  CHECK_EQUAL(aot::guarded([] {}), AOT_OK);
}

}  // namespace
