"""The libraries of a bundle: ours, compiled, the runtime's, and what they all need."""
