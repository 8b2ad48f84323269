// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/error.h"

namespace aot {
namespace {

struct stat status_of(const File& file, const std::string& path) {
  struct stat status {};
  if (fstat(file.descriptor(), &status) != 0) throw file_error(path, errno);
  return status;
}

}  // namespace

File::File(File&& other) noexcept : descriptor_(other.release()) {}

File& File::operator=(File&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

File::~File() {
  if (is_open()) close(descriptor_);
}

int File::release() { return std::exchange(descriptor_, -1); }

File open_file(const std::string& path) {
  // Non-blocking, so that a FIFO put in a model's place cannot hang the process; it has no effect on regular files.
  File file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.is_open()) throw file_error(path, errno);
  if (!S_ISREG(status_of(file, path).st_mode)) {
    throw damaged_error({path, " is not a regular file"}, {"A file was expected here."});
  }
  return file;
}

size_t file_size(const File& file, const std::string& path) {
  return static_cast<size_t>(status_of(file, path).st_size);
}

bool write_all(const File& file, const uint8_t* data, size_t size) {
  while (size > 0) {
    const ssize_t written = ::write(file.descriptor(), data, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    data += written;
    size -= static_cast<size_t>(written);
  }
  return true;
}

}  // namespace aot
