"""Attention heads and projections of models with the names of GPT-2, nanoGPT, Llama, BERT, ViT and torch."""

import math

import pytest
import torch

from hessdens import as_operator
from hessdens.linalg.operator import FunctionOperator
from hessdens.structure import attention_parts
from hessdens.structure.parts import Parts


class Named(FunctionOperator):
    """An operator whose parameters have these names and shapes."""

    def __init__(self, shapes):
        kind = {"size": sum(map(math.prod, shapes.values())), "dtype": torch.float64, "device": torch.device("cpu")}
        super().__init__(torch.clone, **kind)
        self._shapes = shapes

    @property
    def parameter_shapes(self):
        return self._shapes


E = 8
GPT2 = {"h.0.attn.c_attn.weight": (E, 3 * E), "h.0.attn.c_attn.bias": (3 * E,), "h.0.attn.c_proj.weight": (E, E)}
NANO = GPT2 | {"h.0.attn.c_attn.weight": (3 * E, E)}
TIMM = {"blocks.0.attn.qkv.weight": (3 * E, E), "blocks.0.attn.qkv.bias": (3 * E,), "blocks.0.attn.proj.weight": (E, E)}
TORCH = {"l.self_attn.in_proj_weight": (3 * E, E), "l.self_attn.in_proj_bias": (3 * E,)}
TORCH |= {"l.self_attn.out_proj.weight": (E, E), "l.self_attn.out_proj.bias": (E,)}
ROWS = {"weight": (E, E), "bias": (E,)}
BERT = {f"layer.0.attention.self.{q}.{kind}": s for q in ("query", "key", "value") for kind, s in ROWS.items()}
BERT |= {"layer.0.attention.output.dense.weight": (E, E), "layer.0.output.dense.weight": (E, E)}
VIT = {name.replace("self", "attention"): shape for name, shape in BERT.items()}
KDIM = {f"l.attn.{q}_proj_weight": (E, E if q == "q" else 5) for q in "qkv"}
KDIM |= {"l.attn.in_proj_bias": (3 * E,), "l.attn.out_proj.weight": (E, E)}
LLAMA = {f"layers.0.self_attn.{q}_proj.weight": (E if q in "qo" else E // 2, E) for q in "qkv"}
LLAMA |= {"layers.0.self_attn.o_proj.weight": (E, E), "layers.0.mlp.up_proj.weight": (E, E)}


@pytest.mark.parametrize(
    ("shapes", "layer", "size"),
    [
        (GPT2, "h.0.attn", 3 * E * 4 + 12 + E * 4),
        (NANO, "h.0.attn", 3 * E * 4 + 12 + E * 4),
        (TIMM, "blocks.0.attn", 3 * E * 4 + 12 + E * 4),
        (TORCH, "l.self_attn", 3 * E * 4 + 12 + E * 4),
        (KDIM, "l.attn", (E + 5 + 5) * 4 + 12 + E * 4),
        ({name.removeprefix("l.self_attn."): s for name, s in TORCH.items()}, "", 3 * E * 4 + 12),
        (BERT, "layer.0.attention", 3 * E * 4 + 12 + E * 4),
        (VIT, "layer.0.attention", 3 * E * 4 + 12 + E * 4),
    ],
)
def test_heads(shapes, layer, size):
    operator = Named(shapes)
    parts = Parts.of(operator, attention_parts(operator, 2))
    assert parts.names == (f"{layer} head 0".strip(), f"{layer} head 1".strip())
    assert parts.sizes == (size, size)


def test_places_of_a_head_in_a_fused_weight():
    heads = attention_parts(Named(GPT2), 2)
    every = slice(None)
    assert heads["h.0.attn head 1"] == {
        "h.0.attn.c_attn.weight": [(every, slice(4, 8)), (every, slice(12, 16)), (every, slice(20, 24))],
        "h.0.attn.c_attn.bias": [(slice(4, 8),), (slice(12, 16),), (slice(20, 24),)],
        "h.0.attn.c_proj.weight": [(slice(4, 8),)],
    }
    heads = attention_parts(Named(NANO), 2)
    assert heads["h.0.attn head 1"]["h.0.attn.c_attn.weight"] == [(slice(a, a + 4),) for a in (4, 12, 20)]
    assert heads["h.0.attn head 1"]["h.0.attn.c_proj.weight"] == [(every, slice(4, 8))]


def test_shared_keys_are_parts_of_their_own():
    operator = Named(LLAMA)
    parts = Parts.of(operator, attention_parts(operator, 4, num_key_value_heads=2))
    layer = "layers.0.self_attn"
    sizes = dict(zip(parts.names, parts.sizes, strict=True))
    assert sizes == {f"{layer} head {i}": 32 for i in range(4)} | {f"{layer} key-value head {i}": 32 for i in range(2)}


def test_projections():
    operator = Named(GPT2)
    parts = Parts.of(operator, attention_parts(operator, 2, by="projection"))
    assert parts.names == tuple(f"h.0.attn {role}" for role in ("query", "key", "value", "output"))
    assert parts.sizes == (72, 72, 72, 64)


def test_a_single_layer_without_a_prefix():
    assert list(attention_parts(Named({"in_proj_weight": (12, 4)}), 2)) == ["head 0", "head 1"]


@pytest.mark.parametrize(
    ("shapes", "options", "error", "message"),
    [
        (
            GPT2,
            {"num_heads": 3},
            ValueError,
            "num_heads must divide what heads share; got 3 for 'h.0.attn.c_attn.weight'",
        ),
        *[
            ({f"h.0.{name}.weight": (3 * E, E)} | GPT2, {"num_heads": 2}, ValueError, f"the order of what 'h.0.{name}")
            for name in ("self_attn.qkv_proj", "attention.query_key_value", "attn.kv_proj", "attn.Wqkv", "attn.q_attn")
        ],
        (
            {"h.0.crossattention.c_attn.weight": (24, 48)},
            {"num_heads": 4},
            ValueError,
            r"'h.0.crossattention.c_attn.weight' must hold query, key and value, of one size; its shape is \(24, 48\)",
        ),
        ({"attn.qkv.weight": (16, E)}, {"num_heads": 2}, ValueError, r"must hold query, .*; its shape is \(16, 8\)"),
        (
            LLAMA,
            {"num_heads": 4},
            ValueError,
            "num_key_value_heads must be .*; got 4 for 'layers.0.self_attn.k_proj.weight', with 1 rows in each .* of 2",
        ),
        (GPT2, {"num_heads": 0}, ValueError, "num_heads must be at least 1; got 0"),
        (LLAMA, {"num_heads": 4, "num_key_value_heads": 0}, ValueError, "num_key_value_heads must be at least 1"),
        (GPT2, {"num_heads": 2, "by": "layer"}, ValueError, "by must be 'head' or 'projection'; got 'layer'"),
        ({"0.weight": (4, 4)}, {"num_heads": 2}, ValueError, r"needs parameters with the names .*; got \['0.weight'\]"),
    ],
)
def test_what_has_no_such_heads_is_refused(shapes, options, error, message):
    with pytest.raises(error, match=message):
        attention_parts(Named(shapes), **options)


def test_a_matrix_has_no_heads():
    with pytest.raises(TypeError, match="attention_parts needs an operator that knows its parameters"):
        attention_parts(as_operator(torch.eye(3)), 2)
