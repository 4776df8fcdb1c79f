"""The networks of the paper, and their training."""
