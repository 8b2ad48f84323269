// Reads NumPy's .npy files: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#ifndef NPY_HPP
#define NPY_HPP

#include <aot_bridge.hpp>
#include <cstddef>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace npy {

/// An array in C order.
struct Array {
  std::vector<char> bytes;
  aot::DType dtype;
  aot::Shape shape;

  /// As a model's input; valid as long as the array.
  [[nodiscard]] aot::View view() const { return {bytes.data(), dtype, shape}; }
};

/// A file that is not a .npy file, or not one that a model can take.
inline aot::Error unreadable(const std::string& path, const std::string& why) {
  return {AOT_USAGE, path + ": " + why +
                         "\nan input is a little-endian array in C order, saved by numpy.save\n"
                         "save it with numpy.save(path, numpy.ascontiguousarray(x))"};
}

/// Throws aot::Error when the file cannot be used.
inline Array load(const std::string& path) {
  constexpr std::size_t magic_size = 6;
  std::ifstream file(path, std::ios::binary);
  if (!file) throw aot::Error(AOT_USAGE, path + " cannot be opened\nan input cannot be read\ncheck the path");
  const std::string content{std::istreambuf_iterator<char>(file), {}};
  if (content.compare(0, magic_size, "\x93NUMPY") != 0 || content.size() < 12) {
    throw unreadable(path, "is not a .npy file");
  }

  // Version 1 has a header length of two bytes, later ones of four.
  const std::size_t length_bytes = content[magic_size] == 1 ? 2 : 4;
  std::size_t length = 0;
  for (std::size_t index = length_bytes; index-- > 0;) {
    length = length * 256 + static_cast<unsigned char>(content[magic_size + 2 + index]);
  }
  const std::size_t data_start = magic_size + 2 + length_bytes + length;
  if (content.size() < data_start) throw unreadable(path, "is truncated");

  // The header is a Python dict: {'descr': '<f4', 'fortran_order': False, 'shape': (8, 64), }
  const std::string header = content.substr(magic_size + 2 + length_bytes, length);
  const auto after = [&](const std::string& key) {
    const std::size_t at = header.find("'" + key + "': ");
    if (at == std::string::npos) throw unreadable(path, "has no " + key + " in its header");
    return header.substr(at + key.size() + 4);
  };

  const std::string descr = after("descr");  // '<f4' with its quotes
  const std::string kinds = "iufcb";
  constexpr std::array<int, 5> codes = {AOT_INT, AOT_UINT, AOT_FLOAT, AOT_COMPLEX, AOT_BOOL};
  const std::size_t kind = descr.size() < 5 ? std::string::npos : kinds.find(descr[2]);
  const int item_size = kind == std::string::npos ? 0 : std::atoi(descr.c_str() + 3);
  if (descr[1] == '>' || item_size < 1 || item_size > 16) {
    throw unreadable(path, "has elements of type " + descr.substr(0, 6));
  }
  if (after("fortran_order").compare(0, 5, "False") != 0) throw unreadable(path, "is in Fortran order");

  Array array{{}, {codes[kind], static_cast<std::size_t>(item_size)}, {}};
  const std::string shape = after("shape");
  for (std::size_t at = 1; at < shape.size() && shape[at] != ')'; ++at) {
    if (std::isdigit(static_cast<unsigned char>(shape[at])) == 0) continue;
    std::size_t digits = 0;
    array.shape.push_back(std::stoll(shape.substr(at), &digits));
    at += digits - 1;
  }
  array.bytes.assign(content.begin() + static_cast<std::ptrdiff_t>(data_start), content.end());
  if (array.bytes.size() != aot::num_elements(array.shape) * static_cast<std::size_t>(item_size)) {
    throw unreadable(path, "does not hold as many elements as its header says");
  }
  return array;
}

}  // namespace npy

#endif  // NPY_HPP
