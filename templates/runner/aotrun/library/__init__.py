"""The bundle and its C library."""
