"""Smooth densities made from moments."""
