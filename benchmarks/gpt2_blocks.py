"""Layer traces and the matrix of 50 blocks of a GPT-2 of 124 million parameters at random: time, memory, numbers.

    OMP_NUM_THREADS=1 python benchmarks/gpt2_blocks.py

The blocks are both matrices of attention and both of the feedforward part of each of the twelve layers, with their
biases and the norm before them, and both embeddings. The text is of random tokens. Prints seconds, also of the
processor, and the peak resident memory of the process, and writes ``results/gpt2_blocks.json``. With ``--width 96
--depth 2`` it takes a minute or two.
"""

import resource
import time
from typing import Any

from hvp_models import transformer
from measuring import origin, parser_of, save, timed
from torch import nn

from hessdens import Plan, hessian_operator
from hessdens.linalg import Operator
from hessdens.structure import block_norms, layer_traces

VOCABULARY, HEADS = 50_257, 12
# Of a layer: what each block has.
IN_A_LAYER = {
    "attention": ("norm1.*", "qkv.*"),
    "attention out": ("out.*",),
    "feedforward": ("norm2.*", "up.*"),
    "feedforward out": ("down.*",),
}
GIB = 2**30


def blocks_of(depth: int) -> dict[str, list[str]]:
    """Return what each block has: four of each layer, and both embeddings, with the last norm."""
    blocks = {
        f"{layer} {block}": [f"layers.{layer}.{name}" for name in names]
        for layer in range(depth)
        for block, names in IN_A_LAYER.items()
    }
    return {"tokens": ["embedding.*", "norm.*"], "positions": ["position.*"], **blocks}


def main() -> None:
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--depth", type=int, default=12)
    parser.add_argument("--sequences", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=64, help="of a sequence")
    parser.add_argument("--probes", type=int, default=3, help="for each block")
    parser.add_argument("--products", type=int, default=16, help="for the traces")
    parser.add_argument("--block-size", type=int, default=2, help="vectors at once")
    options = parser.parse_args()
    case = transformer(VOCABULARY, options.tokens, options.width, HEADS, options.depth, options.sequences)
    plan = Plan("reverse-over-reverse", options.sequences, 1)
    content: dict[str, Any] = {}
    operator = _measured(
        content, "making the operator",
        lambda: hessian_operator(case.model, nn.CrossEntropyLoss(), [(case.inputs, case.targets)], plan=plan),
    )  # fmt: skip
    blocks = blocks_of(options.depth)
    content |= {
        "parameters": operator.size,
        "sequences": options.sequences,
        "tokens": options.tokens,
        "blocks": len(blocks),
        "probes": options.probes,
    }
    content |= _structure(operator, blocks, options, content)
    content["peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
    print(f"{operator.size:,} parameters; peak {content['peak_gib']:.2f} GiB")
    save(options.output, {**origin(), **content})


def _structure(
    operator: Operator, blocks: dict[str, list[str]], options: Any, content: dict[str, Any]
) -> dict[str, Any]:
    """Return what is printed of traces and norms, and keep what they took."""
    common: Any = {"block_size": options.block_size, "progress": True}
    traces = _measured(
        content, "traces", lambda: layer_traces(operator, blocks, max_products=options.products, **common)
    )
    print(traces)
    norms = _measured(content, "norms", lambda: block_norms(operator, blocks, num_probes=options.probes, **common))
    print(norms)
    return {
        "products": {"traces": traces.num_products, "norms": norms.num_products},
        "names": list(traces.names),
        "traces": traces.values.tolist(),
        "trace_errors": traces.standard_errors.tolist(),
        "squared_norms": norms.values.tolist(),
        "squared_norm_errors": norms.standard_errors.tolist(),
        "share_outside": [norms.share_outside(), *norms.share_outside_interval()],
        "cosine": [norms.cosine(), *norms.cosine_interval()],
    }


def _measured(content: dict[str, Any], what: str, function: Any) -> Any:
    """Return what a function returns, and keep its seconds, and those of the processor."""
    before = time.process_time()
    result, seconds = timed(function)
    spent = {"seconds": seconds, "processor_seconds": time.process_time() - before}
    content.setdefault("spent", {})[what] = spent
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
    print(f"{what}: {seconds:.0f} s, {spent['processor_seconds']:.0f} s of the processor; peak so far {peak:.2f} GiB")
    return result


if __name__ == "__main__":
    main()
