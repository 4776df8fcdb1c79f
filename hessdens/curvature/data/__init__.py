"""The data of an operator: passes over all of them, and some of the examples."""
