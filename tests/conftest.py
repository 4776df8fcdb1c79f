"""Shared set-up: Hypothesis profiles."""

import os

from hypothesis import settings

# The first call of a compiled kernel takes longer than Hypothesis' default deadline of 200 ms.
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")
