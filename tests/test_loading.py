"""Results of every kind from files, and files that are damaged, foreign or hostile."""

import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import make_results

from hessdens import Spectrum, load_result
from hessdens.densities import Density
from hessdens.loading import CLASSES
from hessdens.monitor import SpectrumHistory
from hessdens.results.saved import LATER_FIELDS
from hessdens.results.storage import FORMAT, save_npz

RESULTS = make_results()


def arrays_of(path):
    with np.load(path) as archive:
        return dict(archive)


def test_every_kind_that_can_be_saved_is_tried():
    assert {type(result).__name__ for result in RESULTS.values()} == set(CLASSES)


@pytest.mark.parametrize("name", RESULTS)
def test_round_trip(name, tmp_path):
    result = RESULTS[name]
    result.save(tmp_path / "r.npz")
    loaded = load_result(tmp_path / "r.npz")
    assert type(loaded) is type(result)
    assert str(loaded) == str(result)
    loaded.save(tmp_path / "again.npz")
    first, again = arrays_of(tmp_path / "r.npz"), arrays_of(tmp_path / "again.npz")
    assert first.keys() == again.keys()
    for key, array in first.items():
        np.testing.assert_array_equal(again[key], array)
        assert again[key].dtype == array.dtype


@pytest.mark.parametrize("name", [name for name in RESULTS if "History" not in name])  # packed: see its own tests
def test_each_array_missing_or_of_another_shape_or_kind_is_named(name, tmp_path):
    RESULTS[name].save(tmp_path / "r.npz")
    arrays = {key: array for key, array in arrays_of(tmp_path / "r.npz").items() if not key.startswith("hessdens_")}
    kind = name.split("-")[0]
    path = tmp_path / "bad.npz"
    for key, array in arrays.items():
        save_npz(path, kind, {k: a for k, a in arrays.items() if k != key})
        is_required = key == "window" and not hasattr(CLASSES[kind], key)  # of counts, it always was
        if any(key.endswith(later) for later in LATER_FIELDS) and not is_required:
            assert not getattr(load_result(path), "matrix", "")  # an older file
        else:
            with pytest.raises(ValueError, match=rf"bad.npz must hold an array '{key}'; it is missing"):
                load_result(path)
        for bad in (np.array([array]), np.array(array, dtype=np.str_) if array.dtype.kind != "U" else np.array(1)):
            save_npz(path, kind, arrays | {key: bad})
            with pytest.raises(ValueError, match=r"in .*bad.npz must have shape .*: the file is damaged"):
                load_result(path)


@pytest.mark.parametrize("name", RESULTS)
def test_summaries_are_json_and_say_what_methods_say(name):
    result = RESULTS[name]
    numbers = result.numbers(0.5, 0.9)
    assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers
    assert numbers["kind"] == type(result).__name__
    density = getattr(getattr(result, "fit", result), "mixture", getattr(result, "fit", result))
    if isinstance(density, Density):
        fractions = numbers["fractions"]
        assert fractions["degenerate"]["value"] == density.fraction_degenerate(0.5)
        assert fractions["negative"]["value"] == density.fraction_negative(0.5)
        assert [row["value"] for row in numbers["moments"]] == density.moments(4).tolist()
        if hasattr(result, "degenerate_interval"):
            ends = result.degenerate_interval(0.5, 0.9)
            assert [fractions["degenerate"][end] for end in ("low", "high")] == ends.tolist()
    if isinstance(result, SpectrumHistory):
        assert [row["step"] for row in numbers["records"]] == [0, 10, 20]
        assert [row["degenerate"] for row in numbers["records"][:2]] == result.values("degenerate", window=0.5)[
            :2
        ].tolist()
        assert numbers["records"][2]["degenerate"] is None
        assert numbers["records"][2]["failure"] == "not finite"
    for name in ("size", "num_products", "num_probes", "objective"):
        assert numbers.get(name) == getattr(result, name, getattr(getattr(result, "fit", None), name, None))


def first(value):
    """Return a function that puts a value in the first place of an array."""

    def change(array):
        array = np.array(array)
        array.reshape(-1)[0] = value
        return array

    return change


def only(length):
    """Return a function that takes so many entries of the first axis."""
    return lambda array: array[:length]


# What no estimate can be: kind of result, and what is done to which arrays.
IMPOSSIBLE = [
    ("Moments", {"size": first(0)}),
    ("Moments", {"size": first(2**60)}),
    ("Moments", {"num_products": first(-1)}),
    ("Moments", {"standard_errors": first(-0.1)}),
    ("Moments", {"samples": only(0)}),
    ("Moments", {"num_deflated": first(10**6)}),
    ("Moments", {"certificates_seconds": first(np.nan)}),
    ("Moments", {"certificates_threshold": first(-1.0)}),
    ("ChebyshevMoments", {"standard_errors": first(np.inf)}),
    ("ChebyshevMoments", {"samples": only(0)}),
    ("ChebyshevMoments", {"support": lambda ends: ends[::-1]}),
    ("CertifiedCounts", {"negative": lambda counts: counts[::-1] + np.array([1, 0])}),
    ("CertifiedCounts", {"degenerate": first(10**6)}),
    ("CertifiedCounts", {"positive": only(1)}),
    ("CertifiedCounts", {"level": first(1.5)}),
    ("CertifiedCounts", {"error": first(-1.0)}),
    ("CertifiedCounts", {"look": first(0)}),
    ("DataNoise", {"probe_errors": first(-1.0)}),
    ("MultilevelMoments", {"num_examples": lambda values: values[::-1]}),
    ("MultilevelMoments", {"num_examples": only(1)}),
    ("BlockNorms", {"samples": first(-1.0)}),
    ("BlockNorms", {"cosines": only(1)}),
    ("ClassStructure", {"eigenvalues": lambda values: values[::-1]}),
    ("ClassStructure", {"own_classes": lambda parts: parts + 1}),
    ("ClassStructure", {"examples": only(1)}),
    ("ClassStructure", {"class_means": first(-1.0)}),
    ("Diagonal", {"sizes": first(7)}),
    ("LayerTraces", {"samples": only(1)}),
    ("LowRankSpectrum", {"size": first(2)}),
    ("DataNoise", {"data_errors": first(np.nan)}),
    ("DataNoise", {"num_probes": first(0)}),
    ("Comparison", {"degenerate": first(22.0)}),
    ("Comparison", {"exact_negative": first(-1.5)}),
    ("Comparison", {"exact_degenerate": first(np.nan)}),
    ("Comparison", {"degenerate": lambda value: 0.5 if np.isnan(value) else np.nan}),
    ("Comparison", {"kolmogorov": first(2.0)}),
    ("Comparison", {"wasserstein": first(-1.0)}),
    ("DensityDifference", {"noise": first(-1.0)}),
    ("DensityDifference", {"values": lambda values: values + 2}),
    ("DensityDifference", {"num_probes": first(1)}),
    ("Spectrum", {"eigenvalues": only(0)}),
    ("Spectrum", {"eigenvalues": first(np.nan)}),
    ("LanczosDensity", {"quadrature_size": first(1)}),
    ("LanczosDensity", {"quadrature_weights": lambda weights: -weights}),
    ("LanczosDensity", {"quadrature_weights": lambda weights: 2 * weights}),
    ("LanczosDensity", {"spaces_0_ritz_values": lambda values: values[::-1]}),
    ("LanczosDensity", {"quadrature_weights": only(0)}),
    ("LanczosDensity", {"quadrature_abscissae": lambda points: points[::-1]}),
    ("LanczosDensity", {"spaces_0_rounding": first(-1.0)}),
    ("LanczosDensity", {"quadrature_eigenvalues": lambda values: np.full_like(values, np.nan)}),
    ("LanczosDensity", {"num_steps": first(1)}),
    ("MaximumEntropyDensity", {"edges": lambda edges: edges + 1}),
    ("MaximumEntropyDensity", {"edges": lambda edges: edges[::-1]}),
    ("MaximumEntropyDensity", {"edges": only(0)}),
    ("MaximumEntropyDensity", {"deviations": first(-1.0)}),
    ("KernelPolynomialDensity", {"coefficients": only(0)}),
    ("KernelPolynomialDensity", {"kernel": lambda _: np.array("box")}),
    ("MixtureFit", {"objective": first(-0.1)}),
    ("MixtureFit", {"index": first(10**9)}),
    ("MixtureFit", {"on_edge": lambda _: np.array(["weight middle"])}),
    ("MixtureFit", {"on_edge": lambda _: np.array(["weight upper"] * 2)}),
    ("MixtureFit", {"mixture_weight": first(1.5)}),
    ("SkewNormalMixture", {"scale": first(0.0)}),
    ("FitUncertainty", {"draws_parameters": first(-1.0)}),
    ("FitUncertainty", {"ties_parameters": only(0)}),
    ("FitUncertainty", {"draws_parameters": only(0), "objectives": only(0), "on_edge": only(0)}),
    ("FitUncertainty", {"draws_narrow_scale": first(0.0)}),
    ("FitUncertainty", {"objectives": first(-1.0)}),
    ("SpectrumHistory", {"step.values": lambda steps: steps.astype(float) * np.nan}),
    ("SpectrumHistory", {"step.values": first(-1)}),
    ("SpectrumHistory", {"step.values": first(15)}),
    ("SpectrumHistory", {"measuring_seconds.values": first(np.nan)}),
    ("SpectrumHistory", {"training_seconds.values": first(-1.0)}),
    ("SpectrumHistory", {"failure.values": first("failed")}),
    ("SpectrumHistory", {"identity": lambda _: np.array('{"size": 3}')}),
    ("SpectrumHistory", {"identity": lambda _: np.array('{"size": "many"}')}),
    ("SpectrumHistory", {"identity": lambda _: np.array('{"model": ["Net"]}')}),
    ("SpectrumHistory", {"num_records": first(2)}),
    ("SpectrumHistory", {"num_records": first(10**9)}),
]


@pytest.mark.parametrize(("kind", "changes"), IMPOSSIBLE)
def test_impossible_content_is_refused(kind, changes, tmp_path):
    path = tmp_path / "r.npz"
    result = next(result for result in RESULTS.values() if type(result).__name__ == kind)
    result.save(path)
    arrays = {key: array for key, array in arrays_of(path).items() if not key.startswith("hessdens_")}
    assert changes.keys() <= arrays.keys()
    save_npz(path, kind, arrays | {key: change(arrays[key]) for key, change in changes.items()})
    for load in (load_result, CLASSES[kind].load):
        with pytest.raises(ValueError, match=r"r\.npz"):
            load(path)


NUMBERS = [np.nan, np.inf, -np.inf, 0.0, -1.0, 1e308, -1e308, 5e-324]


@settings(max_examples=80)
@given(st.sampled_from(sorted(RESULTS)), st.data())
def test_altered_values_are_refused_or_shown(tmp_path_factory, name, data):
    """What a file holds beyond shapes may be nonsense, but it must not crash."""
    folder = tmp_path_factory.mktemp("altered")
    RESULTS[name].save(folder / "r.npz")
    arrays = {key: array for key, array in arrays_of(folder / "r.npz").items() if not key.startswith("hessdens_")}
    key = data.draw(st.sampled_from(sorted(arrays)))
    array = np.array(arrays[key])
    if array.dtype.kind == "U":
        array = array.astype("U20")
        array[...] = data.draw(st.sampled_from(["", "\x1b[2J", "nonsense"]))
    elif array.size:
        value = data.draw(st.sampled_from(NUMBERS if array.dtype.kind == "f" else [0, 1, -1, 2**62]))
        array.reshape(-1)[data.draw(st.integers(0, array.size - 1))] = value
    save_npz(folder / "r.npz", name.split("-")[0], arrays | {key: array})
    with np.errstate(all="ignore"):
        try:
            result = load_result(folder / "r.npz")
        except ValueError as error:
            assert "r.npz" in str(error)  # noqa: PT017
            return
        try:
            assert str(result)
        except ValueError:
            return


def test_kinds_that_are_no_results(tmp_path):
    save_npz(tmp_path / "block.npz", "checkpoint probes-0-8", {"samples": np.ones(3)})
    with pytest.raises(ValueError, match=r"block.npz must hold a result of hessdens: .*; it holds 'checkpoint probes"):
        load_result(tmp_path / "block.npz")
    np.savez(tmp_path / "foreign.npz", a=1)
    with pytest.raises(ValueError, match=r"foreign.npz must hold a saved result; it holds no hessdens result"):
        load_result(tmp_path / "foreign.npz")
    with pytest.raises(FileNotFoundError, match=r"nowhere.npz"):
        load_result(tmp_path / "nowhere.npz")


def test_values_that_a_class_refuses_are_told_with_the_file(tmp_path):
    save_npz(tmp_path / "r.npz", "Spectrum", {"eigenvalues": np.empty(0)})
    with pytest.raises(ValueError, match=r"r.npz holds a damaged Spectrum: eigenvalues must be a non-empty"):
        load_result(tmp_path / "r.npz")


def test_a_file_is_unpacked_once(tmp_path, monkeypatch):
    Spectrum([1.0]).save(tmp_path / "r.npz")
    opened, archive = [], zipfile.ZipFile
    monkeypatch.setattr(zipfile, "ZipFile", lambda *arguments: opened.append(1) or archive(*arguments))
    load_result(tmp_path / "r.npz")
    assert len(opened) == 1


def test_other_versions(tmp_path):
    path = tmp_path / "r.npz"
    Spectrum([1.0]).save(path)
    arrays = arrays_of(path)
    np.savez(path, **{**arrays, "hessdens_format": FORMAT + 1, "hessdens_new": 3})
    with pytest.raises(ValueError, match=rf"has format {FORMAT + 1}, written by a newer hessdens; this one reads up"):
        load_result(path)
    np.savez(path, **{**arrays, "hessdens_format": FORMAT - 1})
    with pytest.raises(ValueError, match=rf"format {FORMAT - 1}, written by an earlier, unreleased .* Make it again"):
        load_result(path)
    for name in ("hessdens_format", "hessdens_names", "hessdens_kind"):
        np.savez(path, **{**arrays, name: np.array([[1.5]])})
        with pytest.raises(ValueError, match=rf"{name}.* must have shape .*: the file is damaged"):
            load_result(path)
        np.savez(path, **{key: array for key, array in arrays.items() if key != name})
        with pytest.raises(ValueError, match=r"r.npz must (hold|be)|must be a whole .npz file"):
            load_result(path)


def npy(header, content=b""):
    text = header.encode().ljust(118 - 1) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


FLOATS = "{'descr': '<f8', 'fortran_order': False, 'shape': %s, }"
HOSTILE = {
    "more than it holds": npy(FLOATS % "(1000000000000,)", b"\0" * 8),
    "overflow": npy(FLOATS % "(10000000000000000000000000000000,)", b"\0" * 8),
    "negative": npy(FLOATS % "(-1,)", b"\0" * 8),
    "pickled": npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"cos\nsystem\n(S'true'\ntR."),
    "no header": b"eigenvalues",
    "deep": npy("(" * 100 + "1"),
    "code": npy("__import__('os').system('true')"),
    "too little": npy(FLOATS % "(3,)", b"\0" * 8),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_hostile_headers(name, method, tmp_path):
    path = tmp_path / "r.npz"
    Spectrum([1.0]).save(path)
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", method) as archive:
        for member, content in {**members, "eigenvalues.npy": HOSTILE[name]}.items():
            archive.writestr(member, content)
    with pytest.raises(ValueError, match=r"must be a whole .npz file without pickled objects; got .*r.npz"):
        load_result(path)


def test_a_file_that_unpacks_to_more_than_memory_is_refused_unopened(tmp_path):
    """300 MB of zeros in a file of 300 kB."""
    path, size = tmp_path / "bomb.npz", 300_000_000
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("a.npy", npy(FLOATS % f"({size // 8},)") + bytes(size))
    assert len(packed.getvalue()) < 500_000
    path.write_bytes(packed.getvalue())
    with pytest.raises(
        ValueError, match=r"must be a whole .npz file without pickled objects; got .*bomb.npz"
    ) as caught:
        load_result(path)
    assert "bytes unpack to 300,000,000" in str(caught.value.__cause__)
