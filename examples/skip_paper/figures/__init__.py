"""One file per figure of the paper: which runs, how drawn, how judged."""
