// SPDX-License-Identifier: Apache-2.0
#include "base/mapped_file.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/single_file.h"

namespace aot {

MappedFile::MappedFile(const std::string& path) {
  const std::optional<Inside> inside = is_below_a_file(path) ? find_inside(path) : std::nullopt;
  const File file = open_file(inside ? inside->file : path);
  const size_t end = file_size(file, path);
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
