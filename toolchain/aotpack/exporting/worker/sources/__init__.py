"""What is exported: what the user's function returns, or a saved program, made ready on its device."""
