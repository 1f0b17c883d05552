"""A retried 401 crosses no more file boundaries than before."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("benchmarks/ is not here", allow_module_level=True)

#: Crossings and files. Lower them when the code gets simpler. Never raise them.
MOST = {"requests": (55, 19), "httpx": (72, 21), "httpx2": (72, 21)}
#: The checkout comes after the installed packages, so it only supplies the benchmarks.
RUN = "import sys; sys.path.append(sys.argv.pop(1)); from benchmarks.crossings import main; main()"


def test_a_retried_401_crosses_no_more_file_boundaries_than_before() -> None:
    command = [sys.executable, "-P", "-c", RUN, str(ROOT), "-v"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^(\w+): (\d+) crossings, (\d+) files$", out, re.MULTILINE)
    assert [library for library, *_ in found] == list(MOST)
    for library, crossings, files in found:
        most_crossings, most_files = MOST[library]
        assert int(crossings) <= most_crossings
        assert int(files) <= most_files
    assert "\n    monta_auth/" in out
