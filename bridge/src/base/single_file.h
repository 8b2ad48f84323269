// SPDX-License-Identifier: Apache-2.0
// A bundle that is one file (`aotpack pack --format file`): its files and folders have paths, too, such as
// "mlp.aot/models/mlp". docs/bundle-format.md, "The single file", says how it is laid out.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace aot {

/// A file or folder in a single file.
struct Inside {
  std::string file;  // the single file
  bool is_folder;
  size_t offset;  // of a file's content
  size_t size;
};

/// What a name without "." and ".." leads to in a single file with such an index (its lines), links followed; empty
/// when there is no such thing. Throws AOT_DAMAGED for an index that cannot be read.
std::optional<Inside> find_in_index(std::string_view index, std::string name, const std::string& file);

/// Whether a path leads through something that is no folder.
bool is_below_a_file(const std::string& path);

/// What a path leads to in a single file, links followed; empty when there is no such thing, and for other paths.
/// Throws AOT_DAMAGED for a single file whose index cannot be read.
std::optional<Inside> find_inside(const std::string& path);

/// Whether there is a file or folder, on disk or in a single file.
bool exists(const std::string& path);

/// Whether the path is that of a folder, on disk or in a single file.
bool is_folder(const std::string& path);

}  // namespace aot
