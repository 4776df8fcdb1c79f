"""Hugging Face models in one line: the loss is the model's own, over all labels that count."""

import itertools
from types import SimpleNamespace

import pytest
import torch
from framework_parts import quiet
from torch import nn

from hessdens.curvature import from_transformers, hessian_operator

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
TOKENS = torch.randint(1, 11, (6, 8), generator=torch.Generator().manual_seed(0))
LENGTHS = torch.tensor([8, 3, 5, 8, 2, 6])
MASK = (torch.arange(8) < LENGTHS[:, None]).long()
LABELS = TOKENS.masked_fill(MASK == 0, -100)


def causal():
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=11, n_positions=8, n_embd=8, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    with quiet():
        return transformers.GPT2LMHeadModel(config).eval()


def bert(kind, **options):
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=11, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        max_position_embeddings=8, **options,
    )  # fmt: skip
    return getattr(transformers, f"BertFor{kind}")(config).eval()


def batches(labels, *edges, **others):
    parts = [slice(*pair) for pair in itertools.pairwise(edges)]
    fields = {"input_ids": TOKENS, "attention_mask": MASK, "labels": labels, **others}
    return [{name: value[part] for name, value in fields.items()} for part in parts]


CASES = {
    "next token": (causal, LABELS, 0),
    "masked token": (lambda: bert("MaskedLM"), LABELS, 0),
    "token class": (lambda: bert("TokenClassification", num_labels=11), LABELS, 0),
    "class": (lambda: bert("SequenceClassification", num_labels=3), torch.arange(6) % 3, 0),
    "number": (lambda: bert("SequenceClassification", num_labels=1), torch.arange(6.0), 0),
    "several classes": (
        lambda: bert("SequenceClassification", num_labels=3, problem_type="multi_label_classification"),
        (torch.arange(18.0).reshape(6, 3) % 2), 0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_batches_do_not_matter_and_the_loss_is_the_models(name):
    make, labels, _ = CASES[name]
    model = make()
    (whole,) = batches(labels, 0, 6)
    expected = hessian_operator(
        model, lambda loss, _: loss, [whole], forward=lambda m, b: (m(**b).loss, None),
        num_examples=lambda batch: 1, split_batches=False,
    )  # fmt: skip
    H = from_transformers(model, batches(labels, 0, 4, 6))
    v = torch.randn(H.size, generator=torch.Generator().manual_seed(1))
    assert H.parameter_names == expected.parameter_names
    torch.testing.assert_close(H @ v, expected @ v, rtol=2e-3, atol=2e-5)


def test_gauss_newton_and_fisher_have_the_same_loss():
    model = causal()
    G, F = (from_transformers(model, batches(LABELS, 0, 4, 6), curvature=c) for c in ("ggn", "fisher"))
    v = torch.randn(G.size, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(G @ v, F @ v, rtol=1e-3, atol=1e-6)
    assert v @ (G @ v) > 0
    assert (G.name, F.name) == ("Gauss-Newton matrix", "Fisher matrix")


def test_labels_of_a_causal_model_are_its_tokens():
    model = causal()
    parts = [{name: b[name] for name in ("input_ids", "attention_mask")} for b in batches(LABELS, 0, 4, 6)]
    H, expected = from_transformers(model, parts), from_transformers(model, batches(LABELS, 0, 4, 6))
    v = torch.ones(H.size)
    torch.testing.assert_close(H @ v, expected @ v)
    assert H.total_weight == (LABELS[:, 1:] != -100).sum()


def test_outputs_of_a_tokenizer_and_shuffled_batches_are_taken():
    class Shuffled:
        def __iter__(self):
            order = torch.randperm(6)
            return iter([transformers.BatchEncoding({k: v[order] for k, v in batches(LABELS, 0, 6)[0].items()})])

    H = from_transformers(causal(), Shuffled())
    assert torch.equal(H @ torch.ones(H.size), H @ torch.ones(H.size))


class Odd(nn.Module):
    """A model whose loss is none of the known ones."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, inputs, labels):
        return SimpleNamespace(loss=(self.layer(inputs)[:, 0] - labels).pow(4).mean(), logits=self.layer(inputs))


def test_other_losses_are_the_models_own():
    data, model = [{"inputs": torch.randn(4, 3), "labels": torch.randn(4)}], Odd()
    H = from_transformers(model, data)
    pairs = [(data[0]["inputs"], data[0]["labels"])]
    expected = hessian_operator(model.layer, lambda x, y: (x[:, 0] - y).pow(4).mean(), pairs)
    torch.testing.assert_close(H @ torch.ones(4), expected @ torch.ones(4))
    with pytest.raises(ValueError, match=r"curvature='ggn' needs logits and labels whose loss is known; .* Use curv"):
        from_transformers(model, data, curvature="ggn")


def test_bad_input():
    model = causal()
    with pytest.raises(ValueError, match=r"curvature must be one of hessian, ggn, fisher; got 'kfac'"):
        from_transformers(model, batches(LABELS, 0, 6), curvature="kfac")
    with pytest.raises(TypeError, match=r"must be a list of batches .*; got a single batch. Write \[batch\]"):
        from_transformers(model, {"input_ids": torch.zeros(1, 4, dtype=torch.long)})
    with pytest.raises(TypeError, match=r"A batch must be a mapping with 'labels', .*; got tuple\. For other batches"):
        from_transformers(model, [(TOKENS, LABELS)])
    with pytest.raises(ValueError, match=r"batches must be at least one; got none"):
        from_transformers(model, [])
    with pytest.raises(ValueError, match=r"A batch must have 'labels'; got 'pixels'"):
        from_transformers(model, [{"pixels": torch.ones(2, 3)}])
    with pytest.raises(ValueError, match=r"in training mode. Call model.eval\(\)"):
        from_transformers(causal().train(), batches(LABELS, 0, 6))


def test_examples_that_are_not_padded_are_refused_with_what_to_do():
    rows, advice = [[1, 2, 3], [4, 5]], r"Pad and stack examples: tokenizer\(texts, padding=True, return_tensors='pt'\)"
    tensors = [torch.tensor(row) for row in rows]
    for ids in (rows, rows[0], tensors, tuple(tensors)):
        with pytest.raises(TypeError, match=rf"input_ids of a batch must be a tensor; got (list|tuple)\. {advice}"):
            from_transformers(causal(), [{"input_ids": ids, "labels": ids}])
    with pytest.raises(TypeError, match=rf"labels of a batch must be a tensor; got list\. {advice}"):
        from_transformers(causal(), [{"input_ids": TOKENS, "labels": rows}])
    with pytest.raises(
        ValueError, match=rf"must have shape \(examples, length\); got \(3,\), a single example\. {advice}"
    ):
        from_transformers(causal(), [{"input_ids": tensors[0], "labels": tensors[0]}])


def test_labels_of_mappings_are_the_models_own_matter():
    class Detector(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 1)

        def forward(self, inputs, labels):
            boxes = torch.stack([label["box"] for label in labels])
            return SimpleNamespace(loss=(self.layer(inputs) - boxes).pow(2).mean(), logits=self.layer(inputs))

    data = [{"inputs": torch.randn(2, 3), "labels": [{"box": torch.ones(1)}, {"box": torch.zeros(1)}]}]
    options = {"num_examples": lambda batch: 2, "split_batches": False}
    assert from_transformers(Detector(), data, **options).size == 4


def test_batches_without_labels_that_count_weigh_nothing():
    none, some = torch.full_like(LABELS, -100), batches(LABELS, 0, 6)
    expected = from_transformers(causal(), some)
    for data in ([*batches(none, 0, 6), *some], [*some, *batches(none, 0, 6)]):
        H = from_transformers(causal(), data)
        v = torch.ones(H.size)
        torch.testing.assert_close(H @ v, expected @ v)
        assert H.total_weight == expected.total_weight
        assert "CrossEntropyLoss" in repr(H.problem.loss.loss_fn), (
            "the loss is known though the first batch says nothing"
        )
    with pytest.raises(
        ValueError,
        match=r"batches must have labels that count; all labels of all 2 are -100, which losses ignore\. Look",
    ):
        from_transformers(causal(), batches(none, 0, 2, 6))
