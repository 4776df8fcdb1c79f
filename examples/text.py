"""English text that comes with Python: the documentation behind ``help()``, as bytes."""

import torch
from torch import Tensor

NUM_TOKENS = 256


def paragraphs(count: int, length: int) -> list[Tensor]:
    """Return the first bytes, at most ``length``, of ``count`` paragraphs of all lengths, each as int64 tokens."""
    from pydoc_data.topics import topics

    found = [part for name in sorted(topics) for part in topics[name].split("\n\n") if len(part) > 12]
    if len(found) < count:
        raise ValueError(f"count must be at most {len(found)}, the number of paragraphs; got {count}.")
    step = len(found) // count
    chosen = [" ".join(part.split()).encode()[:length] for part in found[: step * count : step]]
    return [torch.tensor(list(part)) for part in chosen]


def windows(count: int, length: int) -> Tensor:
    """Return ``count`` pieces of ``length`` tokens each, evenly spaced over the whole text, shape (count, length)."""
    from pydoc_data.topics import topics

    text = torch.tensor(list(" ".join(" ".join(topics[name].split()) for name in sorted(topics)).encode()))
    starts = torch.linspace(0, len(text) - length, count).long()
    return torch.stack([text[start : start + length] for start in starts.tolist()])
