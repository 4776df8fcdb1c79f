"""How the paper's claims are judged: rules on plain arrays, fixed before any run, and the list of all claims."""
