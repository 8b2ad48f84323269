// SPDX-License-Identifier: Apache-2.0
// Shared libraries: loading, symbols, and the loader's messages in plain words.
#pragma once

#include <string>

namespace aot {

/// A loaded library; unloaded with the object unless kept.
class Library {
 public:
  Library() = default;

  /// `flags` as for dlopen. Throws AOT_MODEL_MISMATCH, AOT_MACHINE_MISMATCH or AOT_DAMAGED, as the loader's complaint
  /// suggests.
  Library(const std::string& path, int flags) : Library(path, flags, path) {}

  /// The same of a library that is told about by another name than that of its file.
  Library(const std::string& path, int flags, const std::string& name);
  Library(Library&& other) noexcept;
  Library& operator=(Library&& other) noexcept;
  ~Library();

  /// Null when the library, and those it depends on, have no such symbol.
  void* find(const char* name) const;

  /// Throws AOT_MODEL_MISMATCH when there is no such symbol.
  void* require(const char* name) const;

 private:
  void* handle_ = nullptr;
  std::string path_;
};

/// Whether the loader has a library by this path, whoever loaded it.
bool is_loaded(const std::string& path);

/// A path to the file that is there now. The loader knows libraries by their path, and answers with the one that it has
/// when another file has taken its place since, such as that of a bundle which was built anew; then the path is written
/// in another way.
std::string path_as_of_now(const std::string& path);

/// Fills a function pointer of whatever type from the library.
template <class Function>
void bind(const Library& library, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(library.require(name));
}

template <class Function>
void bind_if_present(const Library& library, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(library.find(name));
}

/// The folder that the bridge itself was loaded from.
std::string own_folder();

/// Whether the bridge was loaded from memory, as in a bundle that is one file: then whoever did so has loaded the
/// runtime's libraries before.
bool is_from_memory();

/// The path of one of the runtime's libraries, looked for where the bridge's RUNPATH says. A path with folders, since a
/// bare name would be looked for in LD_LIBRARY_PATH first; the name itself when none of the folders has it, or when
/// this process has a library of that name.
std::string runtime_library(const std::string& name);

/// Loads a library of the runtime and keeps it for good: torch cannot be unloaded. Models find the runtime's functions
/// in the global scope.
Library load_for_good(const std::string& name);

/// The error that a dlopen message stands for. Apart from the loading for tests' sake.
class Error translate_dlerror(const std::string& path, const std::string& message);

}  // namespace aot
