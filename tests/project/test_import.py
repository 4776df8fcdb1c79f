"""What importing the package costs and brings."""

import subprocess
import sys
from pathlib import Path

import hessdens

PACKAGE = str(Path(hessdens.__file__).parent)


def test_import_brings_no_heavy_module_beyond_torch():
    """Numba and matplotlib take most of a second each; they are imported by the functions that use them."""
    code = (
        "import torch, sys; before = set(sys.modules); import hessdens; "
        "print(*sorted({m.split('.')[0] for m in set(sys.modules) - before}))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "hessdens" in loaded
    assert not {"numba", "matplotlib", "hypothesis", "pandas", "sklearn"} & set(loaded)


def test_import_brings_no_sharded_models():
    """They take a quarter of the time of the whole import, and few users have any."""
    code = "import hessdens, sys; print({'torch.distributed.fsdp', 'torch.distributed.tensor'} & {*sys.modules})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_statistics_side_does_not_import_torch():
    """The wings `results`, `densities` and `mixture` work on plain arrays."""
    code = (
        f"import sys, types; package = types.ModuleType('hessdens'); package.__path__ = [{PACKAGE!r}]; "
        "sys.modules['hessdens'] = package; "
        "import hessdens.results, hessdens.densities, hessdens.mixture.grid_search; print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_public_names_are_there_and_documented():
    for name in hessdens.__all__:
        assert getattr(hessdens, name).__doc__, name
