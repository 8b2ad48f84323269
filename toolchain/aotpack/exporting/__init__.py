"""Making a package: the side that asks, and the worker that runs in the backend's environment."""
