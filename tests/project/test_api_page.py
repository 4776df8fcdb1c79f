"""The page of the API has each public name once, and no other."""

import importlib
import re
from pathlib import Path

import hessdens

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/index.md"
DOCUMENTED = re.findall(r"^   (hessdens\.[\w.]+)$", PAGE.read_text(), re.MULTILINE)


def test_every_public_name_is_documented_once():
    names = [name.rpartition(".")[2] for name in DOCUMENTED]
    assert sorted(set(names)) == sorted(names)
    assert {f"hessdens.{name}" for name in hessdens.__all__} <= set(DOCUMENTED)
    for wing in hessdens.WINGS:
        if wing != "cli":  # commands have a page of their own
            assert set(getattr(hessdens, wing).__all__) <= set(names), wing


def test_documented_names_can_be_imported():
    for name in DOCUMENTED:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name
