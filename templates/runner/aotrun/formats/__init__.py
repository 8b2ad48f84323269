"""Files that hold arrays, and opening them."""
