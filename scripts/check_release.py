"""Build what a release uploads, look into it, and use it in an empty environment: run by hand before a release.

``python scripts/check_release.py`` needs ``build`` (``pip install build``) and a package index, for the build backend
and for what hessdens depends on; it takes some minutes. ``--quick`` installs nothing but hessdens itself, into an
environment that sees the packages of this one, and needs hatchling here. The files are left in ``dist`` where all is
well.
"""

import argparse
import ast
import email
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What a user's program does first, without any extra installed.
PROGRAM = """\
import sys
import numpy as np
import hessdens

assert hessdens.__file__.startswith(sys.prefix), hessdens.__file__
for name in hessdens.__all__:
    getattr(hessdens, name)
moments = hessdens.spectral_moments(np.diag(np.arange(9.0)), max_products=20)
assert moments.values[0] == 4.0 or abs(moments.values[0] - 4) < 1
"""
FACTORY = """\
import torch
from torch import nn

def problem():
    model = nn.Linear(4, 3)
    return model, nn.CrossEntropyLoss(), [(torch.ones(6, 4), torch.zeros(6, dtype=torch.long))]
"""
COMMANDS = (
    "density factory:problem --products 12 --out density.npz",
    "density factory:problem --method exact --out exact.npz",
    "show density.npz",
    "compare density.npz exact.npz",
    "plot density.npz --exact exact.npz --out density.png",
    "validate",
)


class ReleaseError(Exception):
    """Something that must not be released."""


def version_of_source() -> str:
    """Return ``__version__`` of the source, the one place where it stands."""
    (version,) = re.findall(r'^__version__ = "(.+)"$', (ROOT / "hessdens/_version.py").read_text(), re.MULTILINE)
    return str(version)


def build(folder: Path, *, isolated: bool) -> tuple[Path, Path]:
    """Build the source distribution, and from that the wheel; return both."""
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)]
    run(command if isolated else [*command, "--no-isolation"])
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


def check_wheel(wheel: Path) -> None:
    """Raise unless the wheel has the package, all of it and nothing else, and its metadata are right."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (email.message_from_bytes(archive.read(name)) for name in names if name.endswith("/METADATA"))
        (points,) = (archive.read(name).decode() for name in names if name.endswith("/entry_points.txt"))
    packaged = {name for name in names if ".dist-info/" not in name}
    sources = (path for path in (ROOT / "hessdens").rglob("*") if path.suffix in (".py", ".typed"))
    expected = {path.relative_to(ROOT).as_posix() for path in sources}
    demand(packaged == expected, f"the wheel must have the files of hessdens/; they differ in {packaged ^ expected}")
    demand(any(name.endswith("licenses/LICENSE") for name in names), "the wheel must have the licence")
    demand(
        metadata["Version"] == version_of_source(), f"the wheel must have the source's version; {metadata['Version']}"
    )
    demand("hessdens = hessdens.cli:main" in points, f"the wheel must have the command hessdens; got {points!r}")
    required = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    imported = {"torch", "numpy", "scipy", "numba", "matplotlib", "psutil", "tqdm"}
    demand({re.split(r"\W", line)[0] for line in required} == imported, f"dependencies must be {imported}: {required}")


def check_sdist(sdist: Path) -> None:
    """Raise unless the source distribution has what building, testing and citing need, and no results or caches.

    The spectra of networks in benchmarks/ are data.
    """
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in (
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "CITATION.cff",
        "CONTRIBUTING.md",
        "Makefile",
    ):
        demand(name in names, f"the source distribution must have {name}")
    for name in ("hessdens/py.typed", "tests/project/public_api.txt", "docs/index.md", "scripts/check_release.py"):
        demand(name in names, f"the source distribution must have {name}")
    unwanted = re.compile(
        r"__pycache__|(?<!benchmarks/spectra/networks)(?<!examples/skip_paper/runs/finished)\.npz$"
        r"|(^|/)\.(venv|git|mypy_cache|ruff_cache)/|_build/"
    )
    stray = sorted(name for name in names if unwanted.search(name))
    demand(not stray, f"the source distribution must have no caches or results; it has {stray[:5]}")


def check_texts(*, released: bool) -> None:
    """Raise unless the changelog has this version and nothing else is unreleased."""
    version = version_of_source()
    changelog = (ROOT / "CHANGELOG.md").read_text()
    if released:
        demand(f"\n## {version}" in changelog, f"CHANGELOG.md must have a section {version}: move the entries there")
        left = re.search(r"## Unreleased\n+([^#\n].*)", changelog)
        demand(left is None, f"CHANGELOG.md must have nothing unreleased; got {left and left[1]!r}")
    demand(
        "version:" not in re.sub("cff-version:", "", (ROOT / "CITATION.cff").read_text()),
        "CITATION.cff must have no version of its own",
    )


def use(wheel: Path, folder: Path, *, quick: bool) -> None:
    """Install the wheel without extras into an empty environment, and work there."""
    environment = folder / "environment"
    run([sys.executable, "-m", "venv", str(environment), *(["--system-site-packages"] if quick else [])])
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if quick:
        # In an environment inside an environment, pip and Python see the packages of the outermost only.
        run([*install, "--no-deps", "--no-index", "--force-reinstall", str(wheel)])
        settings = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))}
    else:
        run([*install, "--constraint", str(ROOT / "constraints.txt"), str(wheel)])
        run([str(python), "-m", "pip", "check"])
        settings = {}
    work = folder / "work"
    work.mkdir()
    (work / "factory.py").write_text(FACTORY)
    command = str(python.with_name("hessdens"))
    told = run([command, "--version"], cwd=work, **settings).strip()
    demand(told == f"hessdens {version_of_source()}", f"the command must tell its version; got {told!r}")
    if quick:
        return
    run([str(python), "-W", "error", "-c", PROGRAM], cwd=work)
    for line in COMMANDS:
        run([command, *line.split()], cwd=work)
    without = subprocess.run([str(python), "-c", "import hessdens.testing"], cwd=work, capture_output=True, text=True)
    demand("hessdens[testing]" in without.stderr, f"without Hypothesis, testing must say what to install: {without}")


def run(command: list[str], cwd: Path | None = None, **settings: str) -> str:
    """Run a command without this environment's own paths; return its standard output, ReleaseError if it fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env={**environment, **settings}, capture_output=True, text=True)
    if done.returncode:
        raise ReleaseError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def demand(holds: bool, otherwise: str) -> None:
    """Raise ReleaseError unless something holds."""
    if not holds:
        raise ReleaseError(f"{otherwise}.")


def main() -> int:
    """Check everything, and leave the files in ``dist``."""
    parser = argparse.ArgumentParser(description=ast.get_docstring(ast.parse(Path(__file__).read_text())))
    parser.add_argument("--quick", action="store_true", help="install nothing from an index")
    parser.add_argument("--unreleased", action="store_true", help="the changelog need not have this version yet")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        try:
            check_texts(released=not arguments.unreleased)
            sdist, wheel = build(folder / "dist", isolated=not arguments.quick)
            check_sdist(sdist)
            check_wheel(wheel)
            use(wheel, folder, quick=arguments.quick)
        except ReleaseError as error:
            print(f"NOT READY: {error}")
            return 1
        (ROOT / "dist").mkdir(exist_ok=True)
        for built in (sdist, wheel):
            shutil.copy(built, ROOT / "dist")
            print(f"dist/{built.name}: {built.stat().st_size:,} bytes")
    print("ready" if not arguments.quick else "built and installed; the rest was not tried (--quick)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
