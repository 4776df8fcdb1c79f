"""The suite of spectra: known eigenvalues, estimators of the same number of products, and what is measured of them.

    python benchmarks/spectra/run.py

`docs/background/suite.md` says what is in it, and how an estimator is added.
"""
