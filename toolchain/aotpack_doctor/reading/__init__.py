"""Facts, read from the disk."""
