"""Hessian of a GPT-2 from Hugging Face transformers: batches that are dictionaries, padding, weights by tokens.

    pip install transformers
    python examples/gpt2.py

takes some minutes. A small GPT-2 (two layers, one token per byte) with random weights is trained briefly on the
documentation that comes with Python. Paragraphs differ in length, so they are padded, and the mean loss over a batch
is a mean over tokens, not over paragraphs. ``from_transformers`` finds that out. By hand, ``forward=`` says how the
model is called, and ``num_examples=`` how much a batch weighs. With these weights, products do not depend on how
paragraphs are divided into batches. Weights by paragraphs give another matrix. The figure shows how training changes
the density.

Figure: densities of the Hessian of a GPT-2 of 120,576 parameters on paragraphs of Python's documentation, before and
after 400 steps of training, from 100 products each. Bands are 95% intervals; marks at the bottom are single
eigenvalues.
"""

from collections.abc import Sequence
from typing import Any

import torch
from record import parse, plt, save
from text import NUM_TOKENS, paragraphs
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from hessdens import hessian_operator, lanczos_density, plot_density
from hessdens.curvature import from_transformers

Batch = dict[str, Tensor]
IGNORED = -100


def make_model(width: int, num_layers: int, length: int) -> nn.Module:
    """Return a GPT-2 of this shape with random weights, in evaluation mode."""
    try:
        from transformers import GPT2Config, GPT2LMHeadModel
    except ImportError as error:
        raise SystemExit(f"This example needs transformers ({error}): pip install transformers") from error
    config = GPT2Config(
        vocab_size=NUM_TOKENS, n_positions=length, n_embd=width, n_layer=num_layers, n_head=2, bos_token_id=0,
        eos_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


def make_batches(texts: list[Tensor], size: int) -> list[Batch]:
    """Return padded batches of ``size`` paragraphs, as a Hugging Face tokenizer and collator make them."""
    batches = []
    for start in range(0, len(texts), size):
        part = texts[start : start + size]
        tokens = nn.utils.rnn.pad_sequence(part, batch_first=True)
        mask = nn.utils.rnn.pad_sequence([torch.ones_like(p) for p in part], batch_first=True)
        labels = tokens.masked_fill(mask == 0, IGNORED)
        batches.append({"input_ids": tokens, "attention_mask": mask, "labels": labels})
    return batches


def forward(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return logits and the tokens to be predicted from them."""
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
    return logits[:, :-1].flatten(end_dim=1), batch["labels"][:, 1:].flatten()


def mean_over_tokens(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean loss over the tokens that are not padding."""
    return F.cross_entropy(logits, labels, ignore_index=IGNORED)


def num_tokens(batch: Batch) -> int:
    """Return how many tokens of a batch are predicted: its weight in the mean over all data."""
    return int((batch["labels"][:, 1:] != IGNORED).sum())


def train(model: nn.Module, batches: list[Batch], steps: int) -> None:
    """Train with Adam."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for step in range(steps):
        optimizer.zero_grad()
        loss = mean_over_tokens(*forward(model, batches[step % len(batches)]))
        loss.backward()
        optimizer.step()
        if step % 50 == 0 or step == steps - 1:
            print(f"step {step}: loss {loss.item():.2f} a token", flush=True)
    model.eval()  # no dropout: the loss must not be random


def weightings(model: nn.Module, texts: list[Tensor]) -> dict[str, float]:
    """Return relative differences of a product from that with all paragraphs in one batch."""
    generator = torch.Generator().manual_seed(0)
    whole = hessian_operator(
        model, mean_over_tokens, make_batches(texts, len(texts)), forward=forward, num_examples=num_tokens
    )
    vector = torch.randn(whole.size, generator=generator)
    reference = whole @ vector
    split = make_batches(texts, 4)
    by_tokens = hessian_operator(model, mean_over_tokens, split, forward=forward, num_examples=num_tokens)
    # Weights by paragraphs must be asked for: without num_examples= the operator finds out that the loss is a mean over
    # something else. Batches must not be cut then.
    by_paragraphs = hessian_operator(
        model,
        mean_over_tokens,
        split,
        forward=forward,
        num_examples=lambda batch: len(batch["labels"]),
        split_batches=False,
    )
    found = {"tokens": by_tokens, "paragraphs": by_paragraphs}
    return {name: float((H @ vector - reference).norm() / reference.norm()) for name, H in found.items()}


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Estimate the density at the start and after training; draw; return the numbers."""
    options = parse(__doc__, "gpt2", argv)
    width, num_layers, length, count, steps, products = (
        (8, 1, 40, 16, 4, 16) if options.small else (64, 2, 64, 64, 400, 100)
    )
    torch.manual_seed(0)
    model = make_model(width, num_layers, length)
    texts = paragraphs(8 * count, length)
    held = texts[::8]
    batches = make_batches(held, 16)
    # [decisive lines]
    H = from_transformers(model, batches)  # the loss is the model's own: a mean over tokens
    before = lanczos_density(H, max_products=products, progress=True)
    train(model, make_batches(texts, 32), steps)
    after = lanczos_density(H, max_products=products, progress=True)  # the operator sees the model as it is now
    # [end]
    differences = weightings(model, held)
    print(f"\nat the start: {before}\n\nafter {steps} steps: {after}\n")
    for name, difference in differences.items():
        print(f"product with batches of 4 weighted by {name}: {difference:.1e} from that of a single batch")

    figure, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
    plot_density(before, ax=ax, label="random weights", color="C1")
    plot_density(after, ax=ax, label=f"after {steps} steps", color="C0")
    ax.set_title(f"GPT-2 of {H.size:,} parameters, {sum(map(num_tokens, batches)):,} tokens", fontsize=10)
    return save(figure, options, {
        "parameters": H.size, "tokens": sum(map(num_tokens, batches)), "steps": steps, "products": products,
        "differences": differences,
        **{f"{when} {name}": value for when, density in (("before", before), ("after", after)) for name, value in (
            ("largest", density.nodes()[-1]), ("smallest", density.nodes()[0]),
            ("degenerate", density.fraction_degenerate()), ("negative", density.fraction_negative()),
        )},
    })  # fmt: skip


if __name__ == "__main__":
    main()
