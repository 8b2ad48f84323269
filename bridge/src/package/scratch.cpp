// SPDX-License-Identifier: Apache-2.0
#include "package/scratch.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/text.h"

namespace aot {
namespace {

Error unwritable(const std::string& path) {
  return {AOT_FAILED,
          {path, " cannot be written: ", std::strerror(errno)},
          {"A .pt2 package was opened on a system where its parts cannot be kept in memory."},
          {"Set TMPDIR to a writable folder, or build a bundle: its models need none."}};
}

}  // namespace

ScratchFolder::ScratchFolder(ScratchFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}

ScratchFolder& ScratchFolder::operator=(ScratchFolder&& other) noexcept {
  std::swap(path_, other.path_);
  return *this;
}

std::string ScratchFolder::path_of_new(const std::string& name) {
  if (path_.empty()) {
    const char* parent = std::getenv("TMPDIR");  // NOLINT(concurrency-mt-unsafe)
    std::string pattern = concat({parent != nullptr && *parent == '/' ? parent : "/tmp", "/aotpack-XXXXXX"});
    if (mkdtemp(pattern.data()) == nullptr) throw unwritable(pattern);
    path_ = pattern;
  }
  return concat({path_, "/", name});
}

std::string ScratchFolder::link(const std::string& name, const std::string& target) {
  const std::string path = path_of_new(name);
  if (symlink(target.c_str(), path.c_str()) != 0) throw unwritable(path);
  return path;
}

std::string ScratchFolder::write(const std::string& name, const uint8_t* data, size_t size) {
  const std::string path = path_of_new(name);
  constexpr mode_t kOwnerOnly = 0600;
  const File file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kOwnerOnly));
  if (!file.is_open() || !write_all(file, data, size)) throw unwritable(path);
  return path;
}

void ScratchFolder::remove() noexcept {
  if (path_.empty()) return;
  if (DIR* folder = opendir(path_.c_str())) {
    const int place = dirfd(folder);
    while (const dirent* entry = place < 0 ? nullptr : readdir(folder)) unlinkat(place, entry->d_name, 0);
    closedir(folder);
  }
  rmdir(path_.c_str());
  path_.clear();
}

File file_in_memory(const char* name, const uint8_t* data, size_t size) {
  constexpr unsigned kExecutable = 0x10;  // MFD_EXEC, since Linux 6.3: whatever the system's default is
  File file(memfd_create(name, MFD_CLOEXEC | kExecutable));
  if (!file.is_open() && errno == EINVAL) file = File(memfd_create(name, MFD_CLOEXEC));
  if (!file.is_open() || !write_all(file, data, size) || access(path_of(file).c_str(), R_OK) != 0) return {};
  return file;
}

std::string path_of(const File& file) { return concat({"/proc/self/fd/", file.descriptor()}); }

}  // namespace aot
