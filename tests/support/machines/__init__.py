"""What machines are like: roots, kernels, toolkits, Pythons."""
