"""Which GPU runs which code: the table that the bridge's own tests hold it against."""

from __future__ import annotations

import re
from pathlib import Path

TABLE = (Path(__file__).resolve().parents[3] / "bridge/tests/gpu_code_cases.inc").read_text(encoding="utf-8")
#: (code, GPU, `native`, `ptx` or `no`)
CASES = re.findall(r'^GPU_CODE\("(.+?)", "(.+?)", "(.+?)"\)', TABLE, re.MULTILINE)
