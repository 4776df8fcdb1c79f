"""What a release is made of: texts, and the built files as far as that needs no network."""

import importlib.util
from pathlib import Path

import check_release
import pytest
import yaml

import hessdens

ROOT = Path(__file__).resolve().parents[2]


def test_one_place_has_the_version():
    assert check_release.version_of_source() == hessdens.__version__
    check_release.check_texts(released=False)
    assert f'"{hessdens.__version__}"' not in (ROOT / "pyproject.toml").read_text()


def test_a_release_needs_its_section_of_the_changelog(tmp_path, monkeypatch):
    monkeypatch.setattr(check_release, "ROOT", tmp_path)
    (tmp_path / "hessdens").mkdir()
    (tmp_path / "hessdens/_version.py").write_text('__version__ = "1.2.3"\n')
    (tmp_path / "CITATION.cff").write_text("cff-version: 1.2.0\n")
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\nnew things\n")
    with pytest.raises(check_release.ReleaseError, match=r"must have a section 1.2.3"):
        check_release.check_texts(released=True)
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\nnew things\n\n## 1.2.3\n\nthings\n")
    with pytest.raises(check_release.ReleaseError, match="must have nothing unreleased; got 'new things'"):
        check_release.check_texts(released=True)
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n## 1.2.3\n\nthings\n")
    check_release.check_texts(released=True)
    (tmp_path / "CITATION.cff").write_text("cff-version: 1.2.0\nversion: 1.2.3\n")
    with pytest.raises(check_release.ReleaseError, match="no version of its own"):
        check_release.check_texts(released=True)


def test_citation_file():
    """The keys that the format 1.2.0 demands, and kinds that it allows."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert all(isinstance(citation[key], str) and citation[key] for key in ("message", "title", "license"))
    for work in (citation, *citation["references"]):
        assert work["title"]
        assert all("name" in author or {"family-names", "given-names"} <= author.keys() for author in work["authors"])


@pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("build", "hatchling")),
    reason="building needs the extra release: pip install 'hessdens[release]'",
)
def test_wheel_and_source_distribution(tmp_path):
    sdist, wheel = check_release.build(tmp_path / "dist", isolated=False)
    check_release.check_sdist(sdist)
    check_release.check_wheel(wheel)
    check_release.use(wheel, tmp_path, quick=True)
