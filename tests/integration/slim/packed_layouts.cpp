// What the slim runtime reads of oneDNN's descriptors, given in hexadecimal, one a line: its numbers, or "refused".
#include <cstdint>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "tensor/packed.h"
#include "threads/pool.h"

// Of what lies beside the reader, and is not called.
int aot_slim_threads() { return 1; }
void aot_slim_parallel(void (*)(void*, int), void*, int) {}

namespace {

void print(const slim::Dims& numbers) {
  for (const int64_t number : numbers) std::cout << ' ' << number;
  std::cout << " |";
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    std::vector<uint8_t> bytes;
    for (size_t at = 0; at < line.size(); at += 2) {
      bytes.push_back(static_cast<uint8_t>(std::stoul(line.substr(at, 2), nullptr, 16)));
    }
    bytes.shrink_to_fit();  // AddressSanitizer sees a read beyond them
    try {
      const slim::Blocked layout = slim::parse_layout(bytes);
      for (const slim::Dims& each :
           {layout.dims, layout.padded, layout.strides, layout.inner_blocks, layout.inner_dims})
        print(each);
      std::cout << ' ' << layout.type << '\n';
    } catch (const std::exception&) {
      std::cout << "refused\n";
    }
  }
}
