// SPDX-License-Identifier: Apache-2.0
#include "base/library.h"

#include <dlfcn.h>
#include <link.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <cfenv>
#include <map>
#include <mutex>
#include <string_view>
#include <utility>

#include "aot_bridge.h"
#include "base/error.h"
#include "base/own_names.h"
#include "base/single_file.h"

namespace aot {
namespace {

/// The word after `marker`, without trailing punctuation; empty when there is no marker.
std::string word_after(const std::string& text, const std::string& marker) {
  const size_t found = text.find(marker);
  if (found == std::string::npos) return {};
  const size_t start = found + marker.size();
  const size_t end = text.find_first_of(" '`\"():,", start);
  return text.substr(start, end == std::string::npos ? end : end - start);
}

bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

/// Whether a file lies where nothing may be executed.
bool is_noexec(const std::string& path) {
  struct statvfs status {};
  return statvfs(path.c_str(), &status) == 0 && (status.f_flag & ST_NOEXEC) != 0;
}

/// Whether a library is one of torch's, by its name.
bool is_torchs(const std::string& path) {
  const std::string name = path.substr(path.rfind('/') + 1);  // all of it without a slash
  return name.compare(0, 8, "libtorch") == 0 || name.compare(0, 6, "libc10") == 0;
}

}  // namespace

// The messages are glibc's (elf/dl-*.c); they are not translated.
Error translate_dlerror(const std::string& path, const std::string& message) {
  const std::string symbol = word_after(message, "undefined symbol: ");
  if (!symbol.empty()) {
    return {AOT_MODEL_MISMATCH,
            {path, " needs the function ", torch_name(symbol), ", which this runtime does not have"},
            {"The model was exported by another version of torch, or uses an op that the bundle's runtime leaves out."},
            {"Build the bundle with the torch that exported the model, or with --runtime full."}};
  }
  const std::string version = word_after(message, "version `");
  if (!version.empty() && contains(message, "not found")) {
    return {AOT_MACHINE_MISMATCH,
            {path, " needs ", version, ", which this system's libraries do not have"},
            {"The system is older than the one that the model or the runtime was built on."},
            {"Use a newer system, or build the bundle with --libc bundled."}};
  }
  const std::string subject = message.substr(0, message.find(':'));
  if (const int reason = reason_at_the_end(message)) return file_error(subject, reason);
  // glibc gives no reason for this one; there are two.
  if (contains(message, "failed to map segment")) return file_error(subject, is_noexec(path) ? EPERM : ENOMEM);
  if (contains(message, "cannot open shared object file")) {
    const std::string& missing = subject;
    if (is_torchs(missing) && !is_torchs(path)) {
      // What the runtime itself needs of torch's was loaded before any model.
      return {AOT_MODEL_MISMATCH,
              {path, " needs ", missing, ", which is no part of this bundle's runtime"},
              {"The model was exported for another runtime or another kind of device."},
              {"Build a bundle for this model: with --runtime full, and for its device."}};
    }
    return {AOT_DAMAGED,
            {missing, " cannot be opened (needed by ", path, ")"},
            {"A library of the bundle is missing, or the bridge was moved away from its bundle."},
            {"Copy the bundle again as a whole, or build it anew."}};
  }
  if (contains(message, "wrong ELF class") || contains(message, "invalid ELF header") ||
      contains(message, "file too short") || contains(message, "ELF file")) {
    return {AOT_DAMAGED,
            {message},
            {"The file is truncated or is not a library for this kind of machine."},
            {"Copy the bundle or the package again, or build it anew."}};
  }
  return {AOT_FAILED, {message}, {"The dynamic loader refused ", path, "."}, {"Run: aotrun doctor"}};
}

namespace {

/// Something that is not exported: another bundle's bridge, of which a process may have one too, would answer for it.
const char kHere = 0;

/// The search path in our own file, which whoever places the file sets: a build compiles nothing for it.
std::string_view own_runpath() {
  Dl_info info{};
  link_map* own = nullptr;
  if (dladdr1(&kHere, &info, reinterpret_cast<void**>(&own), RTLD_DL_LINKMAP) == 0 || own == nullptr) return {};
  const ElfW(Dyn)* path = nullptr;
  const char* strings = nullptr;
  for (const ElfW(Dyn)* entry = own->l_ld; entry->d_tag != DT_NULL; ++entry) {
    if (entry->d_tag == DT_RUNPATH) path = entry;
    // The loader has made an address of it.
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    if (entry->d_tag == DT_STRTAB) strings = reinterpret_cast<const char*>(entry->d_un.d_ptr);
  }
  return path != nullptr && strings != nullptr ? strings + path->d_un.d_val : std::string_view();
}

}  // namespace

std::string own_folder() {
  Dl_info info{};
  if (dladdr(&kHere, &info) == 0 || info.dli_fname == nullptr) return ".";
  const std::string path = info.dli_fname;
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

bool is_from_memory() { return own_folder() == "/proc/self/fd"; }

std::string runtime_library(const std::string& name) {
  // A program that has torch already shares it: a second copy would register the same operators and abort.
  if (is_loaded(name)) return name;
  constexpr std::string_view kOrigin = "$ORIGIN";
  std::string_view rest = own_runpath();
  while (!rest.empty()) {
    const std::string_view folder = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(folder.size() + 1, rest.size()));
    const bool is_ours = folder.substr(0, kOrigin.size()) == kOrigin;
    std::string path = is_ours ? own_folder().append(folder.substr(kOrigin.size())) : std::string(folder);
    path.append("/").append(name);
    if (exists(path)) return path;
  }
  return name;
}

namespace {

/// The runtime's libraries need GCC's, whose folder only the bridge's RUNPATH names. They are in the process already,
/// because the bridge needs them too, unless its compiler linked them statically. Returns true.
bool load_gcc_libraries() {
  for (const char* name : {"libgcc_s.so.1", "libstdc++.so.6"}) {
    const std::string path = runtime_library(name);
    if (path != name) dlopen(path.c_str(), RTLD_LAZY | RTLD_LOCAL);
  }
  return true;
}

}  // namespace

Library load_for_good(const std::string& name) {
  [[maybe_unused]] static const bool once = load_gcc_libraries();
  return {runtime_library(name), RTLD_LAZY | RTLD_GLOBAL | RTLD_NODELETE};
}

Library::Library(const std::string& path, int flags, const std::string& name) : path_(name) {
  // A library linked with -ffast-math switches denormals off for the whole thread when it is loaded. Keep the caller's
  // state.
  std::fenv_t floating_point_state;
  std::fegetenv(&floating_point_state);
  handle_ = dlopen(path.c_str(), flags);
  std::fesetenv(&floating_point_state);
  if (handle_ == nullptr) {
    const char* message = dlerror();
    throw translate_dlerror(name, message != nullptr ? message : "the loader gave no reason");
  }
}

Library::Library(Library&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)), path_(std::move(other.path_)) {}

Library& Library::operator=(Library&& other) noexcept {
  std::swap(handle_, other.handle_);
  std::swap(path_, other.path_);
  return *this;
}

Library::~Library() {
  if (handle_ != nullptr) dlclose(handle_);
}

bool is_loaded(const std::string& path) {
  void* handle = dlopen(path.c_str(), RTLD_LAZY | RTLD_NOLOAD);
  if (handle != nullptr) dlclose(handle);
  return handle != nullptr;
}

std::string path_as_of_now(const std::string& path) {
  struct Identity {
    dev_t device;
    ino_t inode;
    int64_t seconds, nanoseconds;
    bool operator==(const Identity& other) const {
      return device == other.device && inode == other.inode && seconds == other.seconds &&
             nanoseconds == other.nanoseconds;
    }
  };
  static std::mutex mutex;
  static std::map<std::string, Identity> loaded;  // what each path was when it was first asked for

  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return path;  // the loader says why
  const Identity now{status.st_dev, status.st_ino, status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
  const std::scoped_lock lock(mutex);
  std::string written = path;
  const size_t name = path.rfind('/') + 1;  // 0 without a slash
  while (!(loaded.try_emplace(written, now).first->second == now)) written.insert(name, "./");
  return written;
}

void* Library::find(const char* name) const { return dlsym(handle_, name); }

void* Library::require(const char* name) const {
  void* symbol = find(name);
  if (symbol == nullptr) {
    throw Error(AOT_MODEL_MISMATCH, {path_, " has no function ", name},
                {"It was made by another version of torch than this bridge was compiled for."},
                {"Build the bundle with the torch that exported the model."});
  }
  return symbol;
}

}  // namespace aot
