"""How products of a block of examples are made."""
