"""The heads and projections of attention layers as parts of their tensors, fused or not: GPT-2, Llama, BERT, ViT."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from hessdens._calls import takes_operator
from hessdens._checks import whole_at_least
from hessdens.linalg.adapt import as_operator
from hessdens.structure.parts import check_parameters

Part = dict[str, Any]
ROLES = ("query", "key", "value")
By = Literal["head", "projection"]
# What holds query, key and value one after the other: Hugging Face's GPT-2 and nanoGPT, timm's ViT, torch's own.
FUSED = re.compile(r"(?:(?P<place>.*)\.)?(?P<own>c_attn|qkv|in_proj)[._](?P<kind>weight|bias)$")
# What holds one of them: Llama and its kin, BERT, Hugging Face's ViT, torch's own where sizes differ.
SINGLE = re.compile(r"(?:(?P<place>.*)\.)?(?P<own>[qkv]_proj|query|key|value)[._](?P<kind>weight|bias)$")
# What takes the heads together again. Its bias belongs to no head.
OUTPUT = re.compile(r"(?:(?P<place>.*)\.)?(?P<own>c_proj|proj|o_proj|out_proj|output\.dense)\.weight$")
# What holds several of them in an order that differs from model to model: GPT-NeoX, BLOOM, Falcon, Phi-3, MPT, and
# attention to other tokens in GPT-2.
JOINT = re.compile(r"(?:.*\.)?(\w*kv\w*|query_key\w*|q_attn)[._](weight|bias)$", re.IGNORECASE)
# Modules between an attention layer and its query (BERT: attention.self.query; ViT: attention.attention.query).
INNER = re.compile(r"\.(self|attention)$")
ATTENTION = re.compile(r"attn|attention")
ADVICE = "Write parts= with slices: {'head 0': {'name': np.s_[0:64]}}."


@takes_operator
def attention_parts(
    A: Any, num_heads: int, *, num_key_value_heads: int | None = None, by: By = "head"
) -> dict[str, Part]:
    """Return the attention heads of a model as ``parts``, or its query, key, value and output projections.

    Names and shapes of parameters say what belongs to a head. There is a weight of each of query, key and
    value (Llama, BERT, ViT), or one that holds them one after the other: ``c_attn`` of GPT-2, also as a ``Linear`` in
    nanoGPT; ``qkv`` of timm; ``in_proj_weight`` of ``nn.MultiheadAttention``.

    Parameters
    ----------
    A
        From `hessian_operator` or its like.
    num_heads
        Heads of each attention layer.
    num_key_value_heads
        Heads that keys and values have, where several queries share them. These are then parts of their own.
    by
        "head": all that belongs to a head makes a part; "projection": all heads together, by role.

    Returns
    -------
    dict
        For ``parts=`` of `block_norms` and its like. The bias of the output belongs to no head.

    Raises
    ------
    ValueError
        If no parameter has a known name, a weight holds queries, keys and values in an order that is not known, a shape
        does not divide into so many heads, or heads of keys and of queries differ in size.

    Examples
    --------
    >>> import torch
    >>> from hessdens import hessian_operator
    >>> class Attention(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.attn = torch.nn.MultiheadAttention(4, 2, batch_first=True)
    ...     def forward(self, x):
    ...         return self.attn(x, x, x, need_weights=False)[0]
    >>> data = [(torch.randn(2, 3, 4), torch.randn(2, 3, 4))]
    >>> H = hessian_operator(Attention(), torch.nn.MSELoss(), data)
    >>> list(attention_parts(H, num_heads=2))
    ['attn head 0', 'attn head 1']
    """
    operator = as_operator(A)
    check_parameters(operator, "attention_parts")
    whole_at_least("num_heads", num_heads, 1)
    num_shared = num_heads if num_key_value_heads is None else num_key_value_heads
    whole_at_least("num_key_value_heads", num_shared, 1)
    if by not in ("head", "projection"):
        raise ValueError(f"by must be 'head' or 'projection'; got {by!r}.")
    parts: dict[str, Part] = {}
    sizes: dict[str, int] = {}  # of the heads of queries, by layer
    shapes = operator.parameter_shapes
    for layer, role, name, axis, (start, stop) in _slabs(shapes):
        heads = num_heads if role in ("query", "output") else num_shared
        if (stop - start) % heads:
            raise ValueError(
                f"num_heads must divide what heads share; got {heads} for {name!r}, of which {stop - start} belong to "
                f"the {role}. Shapes: {shapes[name]}."
            )
        step, count = (stop - start, 1) if by == "projection" else ((stop - start) // heads, heads)
        if role == "query" or by == "projection":
            sizes[layer] = step
        elif role == "key" and step != sizes.get(layer, step):
            raise ValueError(
                "num_key_value_heads must be that of the model, whose keys have heads of the size of the queries'; "
                f"got {heads} for {name!r}, with {step} rows in each head instead of {sizes[layer]}."
            )
        for head in range(count):
            part = _part_name(layer, role, head, by, is_shared=heads < num_heads)
            own = slice(start + head * step, start + (head + 1) * step)
            parts.setdefault(part, {}).setdefault(name, []).append((*(slice(None),) * axis, own))
    if not parts:
        raise ValueError(
            "attention_parts needs parameters with the names of GPT-2, Llama, BERT, ViT or nn.MultiheadAttention; got "
            f"{list(shapes)[:5]}. {ADVICE}"
        )
    return parts


def _part_name(layer: str, role: str, head: int, by: By, *, is_shared: bool) -> str:
    if by == "projection":
        return f"{layer} {role}".strip()
    kind = "key-value head" if is_shared and role in ("key", "value") else "head"
    return f"{layer} {kind} {head}".strip()


def _slabs(shapes: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[str, str, str, int, tuple[int, int]]]:
    """Yield attention layer, role, parameter, and the axis and range along it that all heads divide."""
    transposed: set[str] = set()  # layers whose weights have inputs first
    for name, shape in shapes.items():
        fused, single, output = (pattern.match(name) for pattern in (FUSED, SINGLE, OUTPUT))
        if fused:
            layer = fused["place"] or ""
            axis = _axis_of_fused(name, fused, shape)
            if axis:
                transposed.add(layer)
            length = shape[axis] // 3
            for index, role in enumerate(ROLES):
                yield layer, role, name, axis, (index * length, (index + 1) * length)
        elif JOINT.match(name) and ATTENTION.search(name):
            raise ValueError(f"attention_parts does not know the order of what {name!r} holds. {ADVICE}")
        elif single and ATTENTION.search(name):
            role = {"q": "query", "k": "key", "v": "value"}[single["own"][0]]
            yield INNER.sub("", single["place"] or ""), role, name, 0, (0, shape[0])
        elif output and ATTENTION.search(output["place"] or ""):
            layer = output["place"]
            axis = 0 if layer in transposed else 1
            yield layer, "output", name, axis, (0, shape[axis])


def _axis_of_fused(name: str, fused: re.Match[str], shape: tuple[int, ...]) -> int:
    """Return the axis that query, key and value share; ValueError if there is none."""
    is_bias = fused["kind"] == "bias"
    if not is_bias and shape[-1] == 3 * shape[0]:
        return 1
    # In GPT-2 that attends to other tokens, c_attn holds keys and values alone.
    is_whole = fused["own"] != "c_attn" or is_bias or shape[0] == 3 * shape[-1]
    if shape[0] % 3 or not is_whole:
        raise ValueError(f"{name!r} must hold query, key and value, of one size; its shape is {shape}. {ADVICE}")
    return 0
