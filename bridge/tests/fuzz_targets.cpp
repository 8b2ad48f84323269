// SPDX-License-Identifier: Apache-2.0
// The bridge's readers of what others wrote, for the fuzzer: packages, libraries' headers, descriptions, layouts of
// packed weights, arrays of callers.
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/single_file.h"
#include "base/view.h"
#include "fuzz.h"
#include "model/signature.h"
#include "package/archive.h"
#include "package/elf_check.h"
#include "package/metadata.h"
#include "package/packed_layout.h"
#include "package/prepared.h"

namespace {

using fuzz::Bytes;
using fuzz::fault;

std::string_view text_of(const Bytes& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

/// The bytes from the front, as numbers; zeros at their end.
class Reader {
 public:
  explicit Reader(const Bytes& bytes) : bytes_(bytes) {}

  template <class T>
  T take() {
    T value{};
    const size_t size = std::min(sizeof value, bytes_.size() - at_);
    if (size > 0) std::memcpy(&value, bytes_.data() + at_, size);
    at_ += size;
    return value;
  }

  std::string rest() const { return std::string(text_of(bytes_).substr(at_)); }

 private:
  const Bytes& bytes_;
  size_t at_ = 0;
};

void read_archive(const Bytes& bytes) {
  Bytes file = bytes;
  const aot::Archive archive(file.data(), file.size(), "fuzz");
  for (const aot::Entry& entry : archive.entries()) {
    if (entry.size > 0 && (entry.data < file.data() || entry.data + entry.size > file.data() + file.size())) {
      fault("an entry outside its file");
    }
    if (archive.find(entry.name) == nullptr) fault("an entry that is not found");
  }
  for (const aot::Entry& entry : archive.entries()) aot::check_integrity(entry, "fuzz");
}

void read_index(const Bytes& bytes) {
  for (const char* name : {"", "models/m/weights.blob", "lib/link", "lib/circle"}) {
    const auto found = aot::find_in_index(text_of(bytes), name, "fuzz");
    if (found && found->file != "fuzz") fault("another file");
  }
}

void read_library(const Bytes& bytes) { aot::check_library(bytes.data(), bytes.size(), "fuzz"); }

/// Sizes that a description speaks of, given to it: the least, or the greatest, or one that has nothing to do with it.
void check_sizes(const aot::Metadata& metadata, int64_t (*choose)(const aot::Dim&)) {
  std::vector<std::vector<int64_t>> shapes;
  std::vector<aot_view> views;
  static char memory = 0;
  for (const aot::TensorSpec& spec : metadata.inputs) {
    std::vector<int64_t>& shape = shapes.emplace_back();
    for (const aot::Dim& dim : spec.dims) shape.push_back(choose(dim));
    const auto ndim = static_cast<int32_t>(shape.size());
    views.push_back({&memory, {AOT_DEVICE_CPU, 0}, ndim, aot::dlpack_of(spec.dtype), shape.data(), nullptr, 0});
  }
  try {
    for (const aot_view& view : views) aot::check_view(view, "fuzz");
    aot::check_signature(metadata.inputs, views.data(), views.size());
    aot::check_guards(metadata.guards, metadata.inputs, views.data());
  } catch (const aot::Error& error) {
    if (error.status() != AOT_USAGE) fault(std::string("another status: ") + error.what());
  }
}

void read_metadata(const Bytes& bytes) {
  const aot::Metadata metadata = aot::parse_metadata(text_of(bytes), "fuzz");
  for (const aot::TensorSpec& spec : metadata.inputs) {
    for (const aot::Dim& dim : spec.dims) {
      if (dim.min < 0 || dim.max < dim.min || dim.factor == 0) fault("a dim that no size satisfies");
    }
  }
  for (const aot::ConstantSpec& spec : metadata.constants) {
    if (spec.layout >= static_cast<int64_t>(metadata.layouts.size())) fault("a layout that is not there");
    if (spec.file >= static_cast<int64_t>(metadata.weights.size())) fault("a file that is not there");
    if (!spec.strides.empty() && spec.strides.size() != spec.shape.size()) fault("strides of another rank");
    const bool divides = spec.convolution && !spec.shape.empty() && spec.convolution->groups > 0;
    if (spec.convolution && (!divides || spec.convolution->stride.size() + 2 != spec.shape.size())) {
      fault("a convolution that is none of its weight's");
    }
  }
  for (size_t i = 0; i < metadata.variants.size(); ++i) {
    aot::Metadata taken = aot::parse_metadata(text_of(bytes), "fuzz");
    taken.take(aot::Variant(taken.variants[i]));
    if (taken.library.find('/') != std::string::npos || taken.folder == "..") fault("code that lies elsewhere");
  }
  check_sizes(metadata, [](const aot::Dim& dim) { return dim.min; });
  check_sizes(metadata, [](const aot::Dim& dim) { return dim.max; });
  check_sizes(metadata, [](const aot::Dim&) { return int64_t{3}; });
}

void read_aoti_metadata(const Bytes& bytes) { aot::parse_aoti_metadata(text_of(bytes), "fuzz", false); }

/// What the bridge reads of a descriptor, read once more, in another way: element by element.
struct Layout {
  int64_t dim(const std::string& bytes, size_t at, size_t index) const {
    int64_t value = 0;
    std::memcpy(&value, bytes.data() + at + index * sizeof value, sizeof value);
    return value;
  }
  static constexpr size_t kSizes = 8;
  static constexpr size_t kOffset = 304;
  static constexpr size_t kStrides = 320;
  static constexpr size_t kBlocks = 416;
  static constexpr size_t kBlockSizes = 424;
  static constexpr size_t kBlockDims = 520;
};

/// The place of one element, in elements.
int64_t place_of(const std::string& bytes, const std::vector<int64_t>& index) {
  const Layout layout;
  int32_t blocks = 0;
  std::memcpy(&blocks, bytes.data() + Layout::kBlocks, sizeof blocks);
  std::vector<int64_t> rest = index;
  int64_t place = layout.dim(bytes, Layout::kOffset, 0);
  int64_t step = 1;
  for (auto b = static_cast<size_t>(blocks); b-- > 0;) {
    const int64_t size = layout.dim(bytes, Layout::kBlockSizes, b);
    int64_t& of = rest[static_cast<size_t>(layout.dim(bytes, Layout::kBlockDims, b))];
    place += of % size * step;
    of /= size;
    step *= size;
  }
  for (size_t d = 0; d < rest.size(); ++d) place += rest[d] * layout.dim(bytes, Layout::kStrides, d);
  return place;
}

/// The rank of the shape, its sizes, the descriptor.
void read_packed(const Bytes& bytes) {
  Reader reader(bytes);
  std::vector<int64_t> shape(reader.take<uint8_t>() % 8U);
  for (int64_t& size : shape) size = reader.take<int64_t>();
  const std::string descriptor = reader.rest();
  size_t extent = 0;
  if (!aot::packed_extent(descriptor, shape, sizeof(float), &extent) || extent == aot::kBeyondAnyFile) return;
  int64_t elements = 1;
  for (const int64_t size : shape) elements *= size;
  if (elements > 4096) return;
  int32_t rank = 0;
  std::memcpy(&rank, descriptor.data() + sizeof rank, sizeof rank);
  std::vector<int64_t> index(static_cast<size_t>(rank));
  for (int64_t element = 0; element < elements; ++element) {
    const int64_t place = place_of(descriptor, index);
    if (place < 0 || static_cast<size_t>(place + 1) * sizeof(float) > extent) fault("an element outside its weight");
    for (size_t d = index.size(); d-- > 0;) {
      if (++index[d] < Layout().dim(descriptor, Layout::kSizes, d)) break;
      index[d] = 0;
    }
  }
  if (elements == 0 || extent > (size_t{1} << 24)) return;
  std::vector<uint8_t> packed(extent);
  std::vector<uint8_t> plain(static_cast<size_t>(elements) * sizeof(float));
  aot::is_unpackable(descriptor, shape);
  aot::unpack(descriptor, sizeof(float), packed.data(), plain.data());
}

/// A file of prepared weights: those that it speaks of lie within it.
void read_prepared(const Bytes& bytes) {
  const aot::Preparation wanted{"AVX2", "avx_vnni", 2, "2.13.0", {"one", "other"}};
  Bytes file = bytes;
  for (const aot::PackedWeight& weight : aot::read_prepared(file.data(), file.size(), wanted, "fuzz")) {
    const uint8_t* const end = file.data() + file.size();
    if (weight.data < file.data() || weight.data > end || weight.size > static_cast<size_t>(end - weight.data)) {
      fault("a weight outside its file");
    }
    size_t extent = 0;
    aot::packed_extent(weight.layout, {32, 4, 3, 3}, sizeof(float), &extent);
  }
}

/// What a DLPack producer says of an array: whatever passes the checks is read within the memory that it speaks of.
void read_view(const Bytes& bytes) {
  Reader reader(bytes);
  const auto flags = reader.take<uint8_t>();
  const int32_t byte = reader.take<uint8_t>();
  const int32_t ndim = byte < 128 ? byte : byte - 256;  // there may be less than none
  aot_view view{};
  view.dtype = {reader.take<uint8_t>(), reader.take<uint8_t>(), reader.take<uint8_t>()};
  view.device = {AOT_DEVICE_CPU, 0};
  view.ndim = ndim;
  std::vector<int64_t> shape(static_cast<size_t>(std::max(ndim, 0)));
  std::vector<int64_t> strides(shape.size());
  for (int64_t& size : shape) size = reader.take<int64_t>();
  for (int64_t& step : strides) step = reader.take<int64_t>();
  view.shape = (flags & 1U) != 0 ? nullptr : shape.data();
  view.strides = (flags & 2U) != 0 ? nullptr : strides.data();
  char nothing = 0;
  view.data = (flags & 4U) != 0 ? nullptr : &nothing;
  aot::check_view(view, "fuzz");

  const auto elements = static_cast<size_t>(aot::count_elements(view.shape, view.ndim));
  const size_t size = view.dtype.bits / 8U;
  const bool in_order = aot::is_contiguous(view);
  size_t extent = elements == 0 ? 0 : elements - 1;
  for (size_t d = 0; elements > 0 && view.strides != nullptr && d < shape.size(); ++d) {
    extent = d == 0 ? 0 : extent;
    extent += static_cast<size_t>((shape[d] - 1) * strides[d]);
  }
  constexpr size_t kMost = size_t{1} << 16;
  if (elements == 0 || elements > kMost || extent > kMost) return;
  const Bytes memory((extent + 1) * size, 7);
  Bytes packed(elements * size);
  view.data = const_cast<uint8_t*>(memory.data());  // NOLINT(cppcoreguidelines-pro-type-const-cast): only read
  aot::copy_strided(packed.data(), nullptr, view.data, view.strides, view.shape, view.ndim, size);
  if (std::count(packed.begin(), packed.end(), 7) != static_cast<std::ptrdiff_t>(packed.size())) {
    fault("elements that were not copied");
  }
  if (in_order && extent + 1 != elements) fault("an array in order that leaves gaps");
  if (!aot::equal_strided(view.data, view.strides, packed.data(), nullptr, view.shape, view.ndim, size)) {
    fault("a copy that differs");
  }
}

}  // namespace

const std::vector<fuzz::Target>& fuzz::targets() {
  const std::vector<std::string> json = {"{",
                                         "}",
                                         "[",
                                         "]",
                                         ",",
                                         ":",
                                         "\"",
                                         "null",
                                         "true",
                                         "false",
                                         "-",
                                         "1e9",
                                         "\\u00e9",
                                         "\\ud83d\\ude00",
                                         "\"min\"",
                                         "\"max\"",
                                         "\"symbol\"",
                                         "\"of\"",
                                         "\"factor\"",
                                         "\"offset\"",
                                         "\"dims\"",
                                         "\"dtype\"",
                                         "\"constants\"",
                                         "\"shape\"",
                                         "\"strides\"",
                                         "\"layout\"",
                                         "\"layouts\"",
                                         "\"convolution\"",
                                         "\"stride\"",
                                         "\"groups\"",
                                         "\"begin\"",
                                         "\"size\"",
                                         "\"rearranged\"",
                                         "\"guards\"",
                                         "\"that\"",
                                         "\"//\"",
                                         "\"%\"",
                                         "\"==\"",
                                         "\"*\"",
                                         "\"not\"",
                                         "\"n\""};
  static const std::vector<Target> all = {
      {"archive", read_archive, {"PK\1\2", "PK\3\4", "PK\5\6", "PK\6\6", "PK\6\7", "..", "/"}},
      {"index", read_index, {"file\t", "link\t", "folder\t", "\n", "..", "99999999999999999999999"}},
      {"library", read_library, {"\177ELF"}},
      {"metadata", read_metadata, json},
      {"package_metadata", read_aoti_metadata, json},
      {"packed", read_packed, {}},
      {"prepared", read_prepared, json},
      {"view", read_view, {}},
  };
  return all;
}
