"""Code for other GPUs than this machine's."""
