"""How products of a block of examples are made: `general`, `feedforward`, `differences`, and their parts."""
