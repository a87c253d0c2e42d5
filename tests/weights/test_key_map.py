"""Name tables read both ways, for every kind of rule."""

import pytest
import torch

from backbonekit.errors import WeightsError
from backbonekit.weights.checkpoint import Checkpoint, checkpoint_of
from backbonekit.weights.key_map import Convert, Join, KeyMap, Rename, Reshape, Split, combine
from backbonekit.weights.key_rules import NameTemplate
from backbonekit.weights.stored_tensors import StoredTensor

TABLE = KeyMap(
    [
        Rename("embedder.convolution", "conv1"),
        Rename("encoder.stages.{i}.layers.{j}.layer.{k}.convolution", "layer{i+1}.{j}.conv{k+1}"),
        Join(("layer.{i}.query", "layer.{i}.key", "layer.{i}.value"), "blocks.{i}.attn.qkv"),
        Join(("layer.{i}.q_proj", "layer.{i}.k_proj", "layer.{i}.v_proj"), "blocks.{i}.attn.qkv"),
        Split("fused.{i}.in_proj", ("out.{i}.q", "out.{i}.k")),
        Reshape(
            "grn.{i-1}.weight",
            "blocks.{i}.grn",
            ours_shape=lambda shape: shape[-1:],
            foreign_shape=lambda shape: (1, 1, 1, *shape),
        ),
        Convert("table", "bias", to_ours=lambda tensor: tensor.T, to_foreign=lambda tensor: tensor.T),
    ],
    drop=("classifier.*", "pooler.*"),
    prefixes=("resnet", "model."),
)

FOREIGN = {
    "embedder.convolution.weight": torch.randn(4, 3, 7, 7),
    "encoder.stages.0.layers.2.layer.1.convolution.weight": torch.randn(4, 4),
    "encoder.stages.10.layers.0.layer.0.convolution.weight": torch.randn(4, 4),
    "layer.3.query.weight": torch.randn(2, 5),
    "layer.3.key.weight": torch.randn(2, 5),
    "layer.3.value.weight": torch.randn(2, 5),
    "layer.3.query.bias": torch.randn(2),
    "layer.3.key.bias": torch.randn(2),
    "layer.3.value.bias": torch.randn(2),
    "fused.0.in_proj": torch.randn(6, 3),
    "grn.1.weight": torch.randn(1, 1, 1, 8),
    "table": torch.randn(2, 9),
}


def ours() -> dict[str, torch.Tensor]:
    translated = TABLE.translate(checkpoint_of(FOREIGN, origin="memory"))
    return {key: translated.tensor(key) for key in translated}


def test_names_and_values():
    found = ours()
    assert set(found) == {
        "conv1.weight",
        "layer1.2.conv2.weight",
        "layer11.0.conv1.weight",
        "blocks.3.attn.qkv.weight",
        "blocks.3.attn.qkv.bias",
        "out.0.q",
        "out.0.k",
        "blocks.2.grn",
        "bias",
    }
    joined = torch.cat([FOREIGN[f"layer.3.{name}.weight"] for name in ("query", "key", "value")])
    assert torch.equal(found["blocks.3.attn.qkv.weight"], joined)
    assert torch.equal(found["out.0.k"], FOREIGN["fused.0.in_proj"][3:])
    assert torch.equal(found["blocks.2.grn"], FOREIGN["grn.1.weight"].flatten())
    assert torch.equal(found["bias"], FOREIGN["table"].T)


def test_shapes_are_known_without_reading():
    def refuse() -> torch.Tensor:
        raise AssertionError("read")

    entries = {key: StoredTensor(tuple(value.shape), value.dtype, refuse) for key, value in FOREIGN.items()}
    translated = TABLE.translate(Checkpoint(entries, origin="memory"))
    for key, tensor in ours().items():
        assert translated.shape(key) == tuple(tensor.shape)
        assert translated.dtype(key) is tensor.dtype


def test_the_table_reads_both_ways():
    written = TABLE.reverse(ours())
    assert written.keys() == FOREIGN.keys()
    for key, tensor in FOREIGN.items():
        assert torch.equal(written[key], tensor), key
    again = TABLE.translate(checkpoint_of(written, origin="memory"))
    for key, tensor in ours().items():
        assert torch.equal(again.tensor(key), tensor), key


def test_prefixes_and_drops():
    tensors = {
        "resnet.embedder.convolution.weight": torch.zeros(1),
        "classifier.1.weight": torch.zeros(1),
        "resnet.pooler.dense.weight": torch.zeros(1),
        "model.table": torch.zeros(2, 3),
    }
    translated = TABLE.translate(checkpoint_of(tensors, origin="memory"))
    assert set(translated.keys()) == {"conv1.weight", "bias"}
    assert translated.stored_as("conv1.weight") == ("resnet.embedder.convolution.weight",)


def test_another_spelling_has_the_same_target():
    tensors = {f"layer.0.{name}_proj.weight": torch.randn(2, 2) for name in "qkv"}
    translated = TABLE.translate(checkpoint_of(tensors, origin="memory"))
    assert translated.keys() == ("blocks.0.attn.qkv.weight",)
    written = TABLE.reverse({"blocks.0.attn.qkv.weight": translated.tensor("blocks.0.attn.qkv.weight")})
    assert set(written) == {"layer.0.query.weight", "layer.0.key.weight", "layer.0.value.weight"}


def test_what_a_smaller_module_has_not_is_left_unread():
    table = KeyMap([Rename("layer.{i}", "block{i+1}"), Join(["q", "k"], "qk")])
    kept = table.keeping(lambda name: not name.startswith("block3")).under("encoder", "backbone")
    tensors = {f"encoder.layer.{index}.w": torch.ones(2) for index in range(3)}
    checkpoint = checkpoint_of({**tensors, "encoder.q": torch.ones(2), "encoder.k": torch.ones(2)}, origin="memory")
    found = kept.translate(checkpoint)
    assert sorted(found.keys()) == ["backbone.block1.w", "backbone.block2.w", "backbone.qk"]
    assert kept.reverse({"backbone.block3.w": torch.ones(2)}).keys() == {"encoder.layer.2.w"}


def test_an_unknown_name_stays():
    translated = TABLE.translate(checkpoint_of({"strange.weight": torch.zeros(1)}, origin="memory"))
    assert translated.keys() == ("strange.weight",)


def test_an_incomplete_join_stays():
    tensors = {"layer.0.query.weight": torch.zeros(2, 2), "layer.0.key.weight": torch.zeros(2, 2)}
    translated = TABLE.translate(checkpoint_of(tensors, origin="memory"))
    assert set(translated.keys()) == set(tensors)


@pytest.mark.parametrize(
    "tensors",
    [
        {"table": torch.zeros(1, 1), "resnet.table": torch.zeros(1, 1)},
        {"table": torch.zeros(1, 1), "bias": torch.zeros(1, 1)},
        {
            **{f"layer.0.{name}.weight": torch.zeros(1, 1) for name in ("query", "key", "value")},
            **{f"layer.0.{name}_proj.weight": torch.zeros(1, 1) for name in "qkv"},
        },
    ],
)
def test_two_tensors_for_one_name_are_refused(tensors: dict[str, torch.Tensor]):
    with pytest.raises(WeightsError, match="which are one tensor"):
        TABLE.translate(checkpoint_of(tensors, origin="memory"))


def test_parts_that_do_not_go_together_are_refused():
    tensors = {
        f"layer.0.{name}.weight": torch.zeros(2, size) for name, size in (("query", 3), ("key", 3), ("value", 4))
    }
    with pytest.raises(
        WeightsError, match=r"do not go together: layer.0.query.weight \[2, 3\], .*value.weight \[2, 4\]"
    ):
        TABLE.translate(checkpoint_of(tensors, origin="memory"))


def test_a_tensor_without_a_foreign_name_is_reported():
    with pytest.raises(WeightsError, match=r"2 tensors have no foreign name: strange, out.0.q"):
        TABLE.reverse({"strange": torch.zeros(1), "out.0.q": torch.zeros(1, 1)})


def test_tables_of_parts_become_one():
    head = KeyMap([Rename("class_predictor", "class_head")])
    whole = combine(TABLE.under("model.backbone", "backbone.body"), head.under("", "head"))
    foreign = {f"model.backbone.{key}": value for key, value in FOREIGN.items()}
    foreign["class_predictor.weight"] = torch.randn(2, 2)
    translated = whole.translate(checkpoint_of(foreign, origin="memory"))
    assert set(translated.keys()) == {*(f"backbone.body.{key}" for key in ours()), "head.class_head.weight"}
    written = whole.reverse({key: translated.tensor(key) for key in translated})
    assert written.keys() == foreign.keys()
    assert all(torch.equal(written[key], foreign[key]) for key in foreign)


def test_prefixes_and_drops_hold_under_the_foreign_prefix():
    whole = TABLE.under("encoder", "body")
    tensors = {
        "encoder.resnet.table": torch.zeros(1, 1),
        "encoder.classifier.weight": torch.zeros(1),
        "classifier.weight": torch.zeros(1),
    }
    assert set(whole.translate(checkpoint_of(tensors, origin="memory")).keys()) == {"body.bias", "classifier.weight"}


@pytest.mark.parametrize(
    ("template", "name", "expected"),
    [
        ("a.{i}", "a.3.weight", ({"i": 3}, ".weight")),
        ("a.{i}", "a.3", ({"i": 3}, "")),
        ("a.{i}", "a.33x", None),
        ("a.{i}", "ab.3", None),
        ("a.{i}", "a.03", None),
        ("a{i+1}", "a1.b", ({"i": 0}, ".b")),
        ("a{i+1}", "a0.b", None),
        ("a{i-1}", "a0", ({"i": 1}, "")),
        ("a.{i}.b.{i}", "a.2.b.2", ({"i": 2}, "")),
        ("a.{i}.b.{i}", "a.2.b.3", None),
        ("", "a.b", ({}, "a.b")),
        ("a+b", "a+b.c", ({}, ".c")),
    ],
)
def test_templates(template: str, name: str, expected: tuple[dict[str, int], str] | None):
    pattern = NameTemplate(template)
    assert pattern.match(name) == expected
    if expected is not None:
        assert pattern.write(*expected) == name
