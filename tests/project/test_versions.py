"""Ranges of versions, what the pages say of them, and what is tested agree."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text().lower(), flags=re.MULTILINE))
INSTALL = (ROOT / "docs/start/install.md").read_text()
REQUIRED = {Requirement(line).name: Requirement(line).specifier for line in PROJECT["dependencies"]}
PYTHON = SpecifierSet(PROJECT["requires-python"])


def least(specifiers):
    """Return the version of a range's lower bound, as it is written."""
    (bound,) = [specifier.version for specifier in specifiers if specifier.operator == ">="]
    return bound


@pytest.mark.parametrize("page", ["README.md", "docs/start/install.md"])
def test_pages_name_the_oldest_versions(page):
    words = f"Python {least(PYTHON)} and torch {least(REQUIRED['torch'])}, or later"
    assert words in " ".join((ROOT / page).read_text().split())


def test_classifiers_name_pythons_from_the_oldest():
    named = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if "Python :: 3." in line]
    assert named[0] == least(PYTHON)
    assert all(version in PYTHON for version in named)


def test_exact_versions_are_in_the_ranges():
    for lines in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()):
        for requirement in map(Requirement, lines):
            name = requirement.name.lower()
            if name in PINS:
                assert PINS[name] in requirement.specifier, name
    assert REQUIRED.keys() <= PINS.keys()


def test_table_of_tested_versions():
    """It has the exact versions of all tests, the oldest torch, and what lies in the ranges alone."""
    table = INSTALL.partition("## Tested versions")[2].partition("##")[0]
    rows = re.findall(r"^\| (\d[\d.]*) \| (\S+) \| (\S+) \|", table, flags=re.MULTILINE)
    assert len(rows) >= 3
    assert (PINS["torch"], PINS["numpy"]) == rows[0][:2]
    assert least(REQUIRED["torch"]) in {".".join(torch.split(".")[:2]) for torch, _, _ in rows}
    assert any(Version(torch) > Version(PINS["torch"]) for torch, _, _ in rows)
    for torch, numpy, python in rows:
        assert torch in REQUIRED["torch"]
        assert numpy in REQUIRED["numpy"]
        assert python in PYTHON


def test_pages_say_how_to_get_the_exact_versions():
    assert "python -m pip install -c constraints.txt ." in INSTALL
    assert "`-c constraints.txt`" in (ROOT / "README.md").read_text()
