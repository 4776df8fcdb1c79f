"""Results of any kind from their files."""

import os

from hessdens.densities.compare import Comparison
from hessdens.densities.difference import DensityDifference
from hessdens.densities.from_moments.kernel_polynomial import KernelPolynomialDensity
from hessdens.densities.from_moments.maximum_entropy import MaximumEntropyDensity
from hessdens.densities.lanczos import LanczosDensity
from hessdens.densities.spectrum import Spectrum
from hessdens.eigenvectors.descriptions import Carriers, Overlap, SubspaceAngles
from hessdens.eigenvectors.slices import LossSlice
from hessdens.mixture import FitUncertainty, MixtureFit, SkewNormalMixture
from hessdens.monitor.history import SpectrumHistory
from hessdens.results import (
    BlockNorms,
    CertifiedCounts,
    ChebyshevMoments,
    ClassStructure,
    DataNoise,
    Diagonal,
    Eigenpairs,
    LayerTraces,
    Moments,
    MultilevelMoments,
    MultilevelTraces,
)
from hessdens.results.storage import read_npz
from hessdens.structure.gauss_newton.low_rank import LowRankSpectrum
from hessdens.structure.halves import CurvatureHalves

Result = (
    BlockNorms
    | Carriers
    | CertifiedCounts
    | ChebyshevMoments
    | ClassStructure
    | Comparison
    | CurvatureHalves
    | DataNoise
    | DensityDifference
    | Diagonal
    | Eigenpairs
    | FitUncertainty
    | KernelPolynomialDensity
    | LanczosDensity
    | LayerTraces
    | LossSlice
    | LowRankSpectrum
    | MaximumEntropyDensity
    | MixtureFit
    | Moments
    | MultilevelMoments
    | MultilevelTraces
    | Overlap
    | SkewNormalMixture
    | Spectrum
    | SpectrumHistory
    | SubspaceAngles
)
CLASSES: dict[str, type[Result]] = {kind.__name__: kind for kind in Result.__args__}


def load_result(path: str | os.PathLike[str]) -> Result:
    """Return the result in a file, of whichever kind its ``save`` wrote there.

    Parameters
    ----------
    path
        An ``.npz`` file. Nothing in it is unpickled or run.

    Returns
    -------
    Moments, LanczosDensity, Spectrum, MixtureFit, ...
        What was saved; ``type(result).__name__`` is its kind.

    Raises
    ------
    ValueError
        If the file is no result, a newer version wrote it, or it is truncated, altered or made to fill the memory: the
        message names the file and what is wrong.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from hessdens import Spectrum
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Spectrum([1.0, 2.0]).save(f"{folder}/exact.npz")
    ...     print(load_result(f"{folder}/exact.npz").eigenvalues)
    [1. 2.]
    """
    kind, arrays = read_npz(path)
    if kind not in CLASSES:
        raise ValueError(f"{path} must hold a result of hessdens: {', '.join(CLASSES)}; it holds {kind!r}.")
    return CLASSES[kind].from_arrays(arrays, path)
