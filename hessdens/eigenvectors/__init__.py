"""Eigenvectors: which directions a matrix has, and what these are."""

from hessdens.eigenvectors.descriptions import Carriers, Overlap, SubspaceAngles
from hessdens.eigenvectors.directions import carriers, overlap, subspace_angles
from hessdens.eigenvectors.loss_slice import loss_slice
from hessdens.eigenvectors.search import eigenpairs
from hessdens.eigenvectors.slices import LossSlice

__all__ = [
    "Carriers",
    "LossSlice",
    "Overlap",
    "SubspaceAngles",
    "carriers",
    "eigenpairs",
    "loss_slice",
    "overlap",
    "subspace_angles",
]
