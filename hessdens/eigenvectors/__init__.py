"""Eigenvectors: which directions a matrix has, and what these are."""

from hessdens.eigenvectors.search import eigenpairs

__all__ = ["eigenpairs"]
