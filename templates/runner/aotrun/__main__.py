"""What bin/aotrun starts: `python3 -I -S -B BUNDLE/runner/aotrun/__main__.py ARGUMENTS`."""

import gc
import os
import sys

# Started as a script in isolated mode, where nobody has put the package's own folder on the path.
runner = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, runner)
if sys.version_info >= (3, 8) and not os.path.isdir(runner):  # the bundle is one file
    from aotpack_doctor.base import in_memory

    in_memory.install(os.path.dirname(runner))

try:
    import ctypes
except ImportError:
    ctypes = None  # type: ignore[assignment]

# With --python host it may be any Python: this file must get as far as this message on all of them.
if sys.version_info < (3, 8) or ctypes is None:
    sys.stderr.write(
        "error: Python %d.%d at %s%s\n"
        "This bundle was built with --python host: it runs on the machine's own Python 3.8 or newer, with ctypes.\n"
        "Put such a python3 on PATH, or build the bundle with --python bundled.\n"
        % (sys.version_info[0], sys.version_info[1], sys.executable, "" if ctypes else " has no ctypes")
    )
    sys.exit(7)

# One run and the process ends: looking for cycles costs more than it frees.
gc.disable()

from aotrun.cli import main  # noqa: E402

code = main(sys.argv[1:])
# Straight to the kernel, which frees all at once: taking the interpreter and the runtime apart piece by piece takes
# longer than many a model runs. What is left to do is to empty the buffers, Python's and the C library's.
try:
    sys.stdout.flush()
    sys.stderr.flush()
    ctypes.CDLL(None).fflush(None)
except OSError:
    code = code or 1
os._exit(code)
