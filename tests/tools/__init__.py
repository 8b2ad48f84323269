"""Programs of the Makefile: clang-tidy over the bridge, single ops of the slim runtime."""
