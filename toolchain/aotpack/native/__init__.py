"""What is compiled from our own sources."""
