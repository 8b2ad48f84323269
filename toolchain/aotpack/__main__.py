"""`python -m aotpack`."""

from aotpack.cli import main

main()
