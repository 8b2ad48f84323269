// SPDX-License-Identifier: Apache-2.0
#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/single_file.h"

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

bool exists(const std::string& path) {
  if (access(path.c_str(), F_OK) == 0) return true;
  return errno == ENOTDIR && find_inside(path).has_value();
}

MappedFile::MappedFile(const std::string& path) {
  const std::optional<Inside> inside = is_below_a_file(path) ? find_inside(path) : std::nullopt;
  const File file = open_file(inside ? inside->file : path);
  const auto end = static_cast<size_t>(status_of(file, path).st_size);
  const size_t offset = inside ? inside->offset : 0;
  size_ = inside ? inside->size : end;
  if (offset > end || size_ > end - offset) {
    throw damaged_error({path, " lies behind the end of its file"}, {"The file was truncated or changed."});
  }
  if (size_ == 0) return;
  // The kernel maps whole pages. Weights begin with one; what lies somewhere in one brings its beginning along.
  const size_t before = offset % static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* memory = mmap(nullptr, before + size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, file.descriptor(),
                      static_cast<off_t>(offset - before));
  if (memory == MAP_FAILED) throw file_error(path, errno);
  before_ = before;
  data_ = static_cast<uint8_t*>(memory) + before;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      before_(std::exchange(other.before_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(before_, other.before_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(data_ - before_, before_ + size_);
}

}  // namespace aot
