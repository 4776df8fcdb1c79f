"""Operators of models as frameworks have them: what the framework calls loss, batch and label is known here."""
