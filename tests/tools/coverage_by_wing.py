"""`make coverage`: branch coverage by wing of a run of pytest, whose arguments these are.

Measured are the processes that run in aotpack's own environment, also those that tests start, and the workers of
exports that tests fork in the backend's. Not measured is what else runs elsewhere: exports that the command line
begins, and the runner and the doctor in a bundle's own interpreter.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".cache" / "coverage"
#: Below this a wing is named.
ENOUGH = 85.0


def main(arguments: list[str]) -> int:
    """pytest's exit status; the table is printed in any case."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    environment = {**os.environ, "COVERAGE_FILE": str(FOLDER / "data")}

    def coverage(*words: str) -> int:
        command = [sys.executable, "-m", "coverage", *words]
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode

    status = coverage("run", "-m", "pytest", *arguments)
    report = FOLDER / "report.json"
    if coverage("combine", "--quiet") or coverage("json", "--quiet", "-o", str(report)):
        return status or 1
    print(table(json.loads(report.read_text())["files"]))
    return status


def wing(path: str) -> str:
    """The folder below a package that a file belongs to; the package itself for what lies in no folder."""
    parts = Path(path).parts
    start = next(i for i, part in enumerate(parts) if part in ("aotpack", "aotpack_doctor", "aotrun"))
    return "/".join(parts[start:-1][:2])


def table(files: Mapping[str, Any]) -> str:
    """Markdown from the `files` of coverage's JSON report: lines and branches that ran, of all, by wing."""
    wings: dict[str, Counter[str]] = defaultdict(Counter)
    for path, file in files.items():
        wings[wing(path)].update({name: value for name, value in file["summary"].items() if isinstance(value, int)})
    lines = ["| wing | lines | branches | together |", "|---|---|---|---|"]
    few = []
    for name, counts in sorted(wings.items()):
        ran = counts["covered_lines"] + counts["covered_branches"]
        together = 100 * ran / max(1, counts["num_statements"] + counts["num_branches"])
        shown = f"{counts['covered_lines']}/{counts['num_statements']} | "
        shown += f"{counts['covered_branches']}/{counts['num_branches']} | {together:.0f} %"
        lines.append(f"| {name} | {shown} |")
        if together < ENOUGH:
            few.append(f"{name} ({together:.0f} %)")
    return "\n".join([*lines, "", f"below {ENOUGH:.0f} %: {', '.join(few) or 'none'}"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
