"""A user's mypy understands the public names: ``user_program.py`` is checked with all rules."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
# torch's own source takes a minute to check, and says nothing of ours: its names are taken to be anything. Errors that
# follow from that inside hessdens are not the user's.
SETTINGS = """\
[mypy]
strict = true
python_version = 3.11
[mypy-torch.*]
follow_imports = skip
[mypy-hessdens.*]
follow_imports = silent
[mypy-scipy.*,numba.*,tqdm.*,psutil.*]
ignore_missing_imports = true
"""


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="needs mypy: pip install hessdens[lint]")
def test_a_users_program(tmp_path):
    (tmp_path / "mypy.ini").write_text(SETTINGS)
    # A cache of its own, which makes all runs but the first short.
    options = [
        "--config-file",
        str(tmp_path / "mypy.ini"),
        "--cache-dir",
        str(HERE.parents[1] / ".mypy_cache/user_program"),
    ]
    command = [sys.executable, "-m", "mypy", *options, str(HERE / "user_program.py")]
    found = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parents[1], check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.startswith("Success")
