"""What is measured of networks: activities, weights, spectra, and the paper's fit."""
