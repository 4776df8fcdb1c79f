"""Every public function, and every class that users construct, has an example; pytest runs it from the docstring."""

import doctest
import inspect

import pytest

import hessdens

# Users get these from a function, whose example shows them.
RETURNED = {
    "Carriers", "Certificates", "Comparison", "CurvatureOperator", "DataNoise", "DensityDifference", "Eigenpairs",
    "FitUncertainty", "KernelPolynomialDensity", "LanczosDensity", "LossSlice", "MaximumEntropyDensity", "MixtureFit",
    "Moments", "Overlap", "Problem", "Schedule", "SpectrumHistory", "SpectrumRecord", "SubspaceAngles",
}  # fmt: skip
# These need processes that torchrun starts, or a shell. Tests run the pages many_processes.md and command_line.md.
ELSEWHERE = {"main", "sharded_operator", "share_examples", "share_probes", "start"}


def public():
    names = {name: getattr(hessdens, name) for name in hessdens.__all__}
    for wing in hessdens.WINGS:
        names |= {name: getattr(getattr(hessdens, wing), name) for name in getattr(hessdens, wing).__all__}
    return names


def examples(value):
    """Return the examples in the docstring of a function, or of a class and its public methods."""
    tests = doctest.DocTestFinder(recurse=inspect.isclass(value)).find(value, value.__name__)
    return [example for test in tests for example in test.examples]


PUBLIC = public()


@pytest.mark.parametrize("name", sorted(PUBLIC.keys() - RETURNED - ELSEWHERE))
def test_has_an_example(name):
    assert len(examples(PUBLIC[name])) >= 2, f"{name} needs an example of three to six lines in its docstring"


def test_exceptions_are_public_names():
    assert PUBLIC.keys() >= RETURNED | ELSEWHERE


def test_functions_are_no_exception():
    assert all(inspect.isclass(PUBLIC[name]) for name in RETURNED)
