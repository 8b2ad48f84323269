"""The half of `aotpack export` that runs inside the backend's virtual environment, where torch is and aotpack is not.

`aotpack.exporting.driving` starts it (see `main`). It imports nothing but torch and the standard library, and its
modules import one another relatively, so that the package works without its parent.
"""
