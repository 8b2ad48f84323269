"""Programs of the build machine: compilers, CMake, the cache, sandboxes."""
