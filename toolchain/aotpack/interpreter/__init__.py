"""The Python that travels in a bundle."""
