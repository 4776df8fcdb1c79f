"""One module for our estimators, one for each peer, and two of short references; all are found by themselves."""
