"""Spectral density of the Hessian of a neural network, with error bars."""

__version__ = "0.1.0"
