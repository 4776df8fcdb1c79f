"""The rules by which claims are judged."""
