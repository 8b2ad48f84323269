"""What bin/aotrun starts: `python3 -I -S -B BUNDLE/runner/aotrun/__main__.py ARGUMENTS`."""

import os
import sys

if sys.version_info < (3, 8):
    sys.stderr.write(
        "error: Python %d.%d at %s\n"
        "This bundle was built with --python host: it runs on the machine's own Python 3.8 or newer.\n"
        "Put a newer python3 on PATH, or build the bundle with --python bundled.\n"
        % (sys.version_info[0], sys.version_info[1], sys.executable)
    )
    sys.exit(7)

# Started as a script in isolated mode, where nobody has put the package's own folder on the path.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from aotrun.cli import main

sys.exit(main(sys.argv[1:]))
