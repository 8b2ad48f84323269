"""Reading a .pt2 without believing it."""
