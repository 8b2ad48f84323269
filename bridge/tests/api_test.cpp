// SPDX-License-Identifier: Apache-2.0
// The C functions as far as they go without a runtime; tests/integration/bridge/test_bridge.py goes further.
#include <atomic>
#include <cstdio>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "model/runner_slots.h"
#include "package/json.h"

namespace {

std::string failure(aot_status expected, aot_status status) {
  CHECK_EQUAL(status, expected);
  return aot_last_error();
}

bool says(const std::string& message, const char* part) { return message.find(part) != std::string::npos; }

/// A folder of its own with files in it, gone afterwards.
class Folder {
 public:
  Folder() {
    char pattern[] = "/tmp/bridge-tests-XXXXXX";
    path_ = mkdtemp(pattern);
  }
  ~Folder() {
    for (const std::string& name : names_) std::remove((path_ + '/' + name).c_str());
    std::remove(path_.c_str());
  }
  std::string write(const std::string& name, const std::string& content) {
    names_.push_back(name);
    std::ofstream(path_ + '/' + name, std::ios::binary) << content;
    return path_ + '/' + name;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::vector<std::string> names_;
};

TEST(null_pointers_are_refused) {
  aot_model* model = nullptr;
  CHECK(says(failure(AOT_USAGE, aot_model_load("x", nullptr, nullptr)), "out is NULL"));
  CHECK(says(failure(AOT_USAGE, aot_model_load(nullptr, nullptr, &model)), "path is NULL"));
  CHECK(says(failure(AOT_USAGE, aot_model_run(nullptr, nullptr, 0, nullptr, 0, nullptr)), "model is NULL"));
  CHECK(says(failure(AOT_USAGE, aot_model_input_info(nullptr, 0, nullptr)), "model is NULL"));
  CHECK(says(failure(AOT_USAGE, aot_tensor_copy(nullptr, nullptr, 0)), "tensor is NULL"));
  CHECK(says(failure(AOT_USAGE, aot_tensor_to_dlpack(nullptr, nullptr)), "tensor is NULL"));
  CHECK(says(failure(AOT_USAGE, aot_device_check(nullptr, nullptr)), "device is NULL"));
  aot_model_free(nullptr);
  aot_tensor_free(nullptr);
  CHECK(aot_tensor_view(nullptr) == nullptr);
  CHECK_EQUAL(aot_model_num_inputs(nullptr), 0U);
  CHECK_EQUAL(std::string(aot_model_metadata(nullptr)), "{}");
}

TEST(options_are_checked) {
  aot_model* model = nullptr;
  aot_load_options options{};
  CHECK(says(failure(AOT_USAGE, aot_model_load("x", &options, &model)), "struct_size 0"));
  options.struct_size = sizeof options;
  options.num_runners = 100000;
  CHECK(says(failure(AOT_USAGE, aot_model_load("x", &options, &model)), "100000 runners"));
  options.num_runners = 1;
  options.reserved = 1;
  CHECK(says(failure(AOT_USAGE, aot_model_load("x", &options, &model)), "reserved 1"));
}

TEST(structs_of_older_callers_are_respected) {
  aot_device_report report{};
  report.struct_size = 8;  // up to num_devices
  report.self_test_ms = -1;
  CHECK_EQUAL(aot_device_check("cpu", &report), AOT_OK);
  CHECK_EQUAL(report.num_devices, 1U);
  CHECK_EQUAL(report.self_test_ms, -1);
  CHECK_EQUAL(report.struct_size, 8U);
  report.struct_size = 0;
  CHECK(says(failure(AOT_USAGE, aot_device_check("cpu", &report)), "struct_size is 0"));
}

TEST(models_that_are_not_there) {
  Folder folder;
  aot_model* model = nullptr;
  CHECK(says(failure(AOT_DAMAGED, aot_model_load("/nonexistent", nullptr, &model)), "there is no model"));
  CHECK(
      says(failure(AOT_DAMAGED, aot_model_load(folder.path().c_str(), nullptr, &model)), "model.json cannot be read"));
  CHECK(model == nullptr);
  CHECK(says(failure(AOT_DAMAGED, aot_model_load("/dev/zero", nullptr, &model)), "not a regular file"));
  const std::string empty = folder.write("empty.pt2", "");
  CHECK(says(failure(AOT_DAMAGED, aot_model_load(empty.c_str(), nullptr, &model)), "not a zip file"));
}

TEST(models_that_are_something_else) {
  Folder folder;
  aot_model* model = nullptr;
  folder.write("model.json", R"({"schema": 1, "inputs": [], "outputs": []})");
  const char* path = folder.path().c_str();
  CHECK(says(failure(AOT_DAMAGED, aot_model_load(path, nullptr, &model)), "model.so cannot be read"));
  folder.write("model.so", "text");
  CHECK(says(failure(AOT_DAMAGED, aot_model_load(path, nullptr, &model)), "not an ELF library"));
}

TEST(machines_that_lack_features_are_told_which) {
  Folder folder;
  aot_model* model = nullptr;
  folder.write("model.json", R"({"schema": 1, "inputs": [], "outputs": [], "cpu_features": ["sse2", "avx9000"]})");
  std::ifstream self("/proc/self/exe", std::ios::binary);  // some code for this machine
  folder.write("model.so", std::string(std::istreambuf_iterator<char>(self), {}));
  const std::string message = failure(AOT_MACHINE_MISMATCH, aot_model_load(folder.path().c_str(), nullptr, &model));
  CHECK(says(message, "lacks: avx9000\n"));
}

TEST(machines_with_an_older_libc_are_told) {
  Folder folder;
  aot_model* model = nullptr;
  folder.write("model.json", R"({"schema": 1, "inputs": [], "outputs": [], "floors": {"glibc": "99.1"}})");
  std::ifstream self("/proc/self/exe", std::ios::binary);
  folder.write("model.so", std::string(std::istreambuf_iterator<char>(self), {}));
  const std::string message = failure(AOT_MACHINE_MISMATCH, aot_model_load(folder.path().c_str(), nullptr, &model));
  CHECK(says(message, "needs glibc 99.1; this process has"));
}

TEST(build_info_is_json) {
  const aot::Json info = aot::Json::parse(aot_build_info());
  CHECK_EQUAL(info.at("api_version").integer(), AOT_API_VERSION);
  CHECK_EQUAL(info.at("backends").texts()[0], "cpu");
}

TEST(messages_belong_to_their_thread) {
  aot_model* model = nullptr;
  aot_model_load("/nonexistent-here", nullptr, &model);
  std::string other;
  std::thread([&] { other = aot_last_error(); }).join();
  CHECK_EQUAL(other, "");
  CHECK(says(aot_last_error(), "/nonexistent-here"));
}

TEST(slots_let_in_as_many_as_there_are) {
  aot::RunnerSlots slots(2);
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  std::vector<std::thread> threads;
  threads.reserve(8);
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 200; ++round) {
        const aot::RunnerSlots::Hold hold(slots);
        const int now = ++inside;
        int seen = most;
        while (now > seen && !most.compare_exchange_weak(seen, now)) {
        }
        --inside;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  slots.wait_until_idle();
  CHECK(most <= 2);
}

}  // namespace
