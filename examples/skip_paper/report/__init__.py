"""The report: figures and verdicts in the order of the argument."""
