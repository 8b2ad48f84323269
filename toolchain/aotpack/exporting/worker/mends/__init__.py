"""What Inductor gets wrong, mended while code is generated."""
