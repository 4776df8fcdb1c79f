"""Runs: how many, how large, computed, stored and found again."""
