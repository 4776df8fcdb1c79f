"""A user's mypy understands the public names: ``user_program.py`` is checked with all rules."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
# torch's own source takes a minute to check, and says nothing of ours: its names are taken to be anything.
SETTINGS = """\
[mypy]
strict = true
python_version = 3.11
[mypy-torch.*]
follow_imports = skip
[mypy-scipy.*,numba.*,tqdm.*,psutil.*]
ignore_missing_imports = true
"""


@pytest.mark.skipif(
    importlib.util.find_spec("mypy") is None, reason="mypy is not installed: pip install hessdens[lint]"
)
def test_a_users_program(tmp_path):
    (tmp_path / "mypy.ini").write_text(SETTINGS)
    command = [sys.executable, "-m", "mypy", "--config-file", str(tmp_path / "mypy.ini"), "--cache-dir", str(tmp_path)]
    found = subprocess.run(
        [*command, str(HERE / "user_program.py")], capture_output=True, text=True, cwd=HERE.parent, check=False
    )
    ours = [line for line in found.stdout.splitlines() if "user_program.py" in line and "error:" in line]
    assert not ours, "\n".join(ours)
    assert "rrors prevented further checking" not in found.stdout, found.stdout
    assert "Success" in found.stdout or "hessdens/" in found.stdout, found.stdout + found.stderr
