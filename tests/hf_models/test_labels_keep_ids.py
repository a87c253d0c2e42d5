"""A model remembers `id2label` exactly, and its configuration can no longer describe another model."""

import copy
import gc
import io
import json

import pytest
import torch

import backbonekit as bk
from backbonekit.errors import ContractError, RecipeError

RESNET = {"hidden_sizes": (8, 16, 24, 32), "depths": (1, 1, 1, 1), "layer_type": "basic"}
TINY = {
    "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "num_queries": 5,
}  # fmt: skip
# What is given, and the names of the classes 0 and 1.
TABLES = [
    ({1: "cat", 2: "dog"}, ("0", "cat")),
    ({0: "a", 2: "b"}, ("a", "1")),
    ({-1: "none", 0: "cat"}, ("cat", "1")),
    ({1: "b", 0: "a"}, ("a", "b")),
    ({0: 7, 1: 8}, ("7", "8")),
]


def config(**changes) -> bk.DetrConfig:
    return bk.DetrConfig(**{"backbone_config": bk.ResNetConfig(**RESNET), **TINY, **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detr")
    bk.DetrForObjectDetection(config(num_labels=3)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("id2label", "names"), TABLES)
def test_what_is_given_is_remembered_saved_and_opened(id2label, names, folder, tmp_path):
    model = bk.DetrForObjectDetection.from_pretrained(folder, id2label=id2label, ignore_mismatched_sizes=True)
    model.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())["id2label"]
    assert written == {str(index): name for index, name in id2label.items()}
    again = bk.DetrForObjectDetection.from_pretrained(tmp_path)
    is_gapped = set(id2label) != {0, 1}
    for one in (model, again, bk.DetrForObjectDetection(config(id2label=id2label))):
        assert one.config.id2label == id2label
        assert list(one.config.id2label) == list(id2label)
        assert one.config.num_labels == 2
        assert one.model.labels.names == names
        assert sum("id2label has 2 entries" in note for note in one.weight_report.notes) == is_gapped
    opened = bk.load_model(tmp_path)
    assert opened.labels.names == names
    assert any("id2label has 2 entries" in note for note in opened.weight_report.notes) == is_gapped


@pytest.mark.parametrize(("id2label", "names"), TABLES)
def test_transformers_reads_and_writes_the_same(id2label, names, folder, tmp_path):
    transformers = pytest.importorskip("transformers")
    bk.DetrForObjectDetection(config(id2label=id2label)).save_pretrained(tmp_path / "ours")
    theirs = transformers.DetrForObjectDetection.from_pretrained(tmp_path / "ours")
    assert (theirs.config.id2label, theirs.config.num_labels) == (id2label, 2)
    theirs.save_pretrained(tmp_path / "theirs")
    again = bk.DetrForObjectDetection.from_pretrained(tmp_path / "theirs")
    assert again.config.id2label == id2label
    assert again.model.labels.names == names


def test_label2id_alone_names_the_classes(folder):
    model = bk.DetrForObjectDetection.from_pretrained(
        folder, label2id={"dog": 1, "cat": 0}, ignore_mismatched_sizes=True
    )
    assert model.config.id2label == {1: "dog", 0: "cat"}
    assert model.model.labels.names == ("cat", "dog")


@pytest.mark.parametrize(
    ("fields", "kind", "message"),
    [
        ({"id2label": {0: "a"}, "label2id": {"a": 1}}, ContractError, "'a' is the class 1, id2label says otherwise"),
        ({"id2label": {1: "a", 2: "b"}, "num_labels": 3}, ContractError, r"id2label has 2 names.*'N/A'"),
        ({"id2label": {0: None}}, RecipeError, "no name of one line"),
        ({"label2id": {"a": "first"}}, RecipeError, "'first' is no class index"),
    ],
)
def test_what_disagrees_is_refused(fields, kind, message):
    with pytest.raises(kind, match=message):
        config(**fields)


def test_a_configuration_of_a_built_model_refuses_another_architecture():
    own = config(num_labels=2)
    model = bk.DetrForObjectDetection(own)
    for name, value in (("num_labels", 7), ("num_queries", 99), ("id2label", {0: "a"}), ("d_model", "wide")):
        with pytest.raises(ContractError, match=f"{name}=.*belongs to a DetrForObjectDetection.*config.copy"):
            setattr(own, name, value)
    with pytest.raises(ContractError, match="depths="):
        own.backbone_config.depths = (2, 1, 1, 1)
    with pytest.raises(ContractError, match="backbone_config="):
        own.backbone_config = bk.ResNetConfig()
    own.num_queries, own.num_labels, own.backbone_config.output_hidden_states = 5, 2, True  # as they were; of a call
    assert (own.num_queries, own.num_labels, own.d_model) == (5, 2, 32)
    assert own == model.config

    other = own.copy()
    other.num_queries, other.num_labels = 99, 7
    assert (other.num_queries, own.num_queries) == (99, 5)
    assert copy.deepcopy(own).copy() == own

    del model
    gc.collect()
    own.num_labels = 7  # nothing depends on it any more
    assert own.num_labels == 7


def test_a_backbone_of_its_own_holds_its_configuration():
    for model, change in (
        (bk.ResNetBackbone(bk.ResNetConfig(**RESNET)), {"depths": (2, 1, 1, 1)}),
        (bk.TimmBackbone(bk.TimmBackboneConfig("test_resnet")), {"num_channels": 1}),
    ):
        own = model.config
        for name, value in {**change, "out_indices": [1, 2]}.items():
            with pytest.raises(ContractError, match=f"{name}=.*belongs to a {type(model).__name__}"):
                setattr(own, name, value)
        model.out_indices = model.out_indices
        own.output_hidden_states = True
        assert model(torch.zeros(1, 3, 64, 64)).hidden_states is not None


def test_a_decoder_of_its_own_belongs_to_the_model_too():
    nested = {"decoder_layers": 1, "num_queries": 4, "d_model": 32, "decoder_attention_heads": 2, "decoder_ffn_dim": 32}
    sizes = {"fpn_feature_size": 32, "mask_feature_size": 24}
    own = bk.MaskFormerConfig(backbone_config=bk.ResNetConfig(**RESNET), decoder_config=nested, **sizes)
    model = bk.MaskFormerForInstanceSegmentation(own)
    with pytest.raises(ContractError, match=f"num_queries=9.*belongs to a {type(model).__name__}"):
        own.decoder_config.num_queries = 9


def test_what_changes_inside_a_mapping_is_found_when_saving(tmp_path):
    own = config(
        backbone_config=None, backbone="test_resnet", use_timm_backbone=True, backbone_kwargs={"drop_rate": 0.0}
    )
    model = bk.DetrForObjectDetection(own)
    own.backbone_kwargs["output_stride"] = 8
    with pytest.raises(ContractError, match="changed inside a mapping"):
        model.save_pretrained(tmp_path)


def test_names_that_change_are_followed_everywhere(tmp_path):
    own = config(id2label={0: "a", 1: "b"})
    model, second = bk.DetrForObjectDetection(own), bk.DetrForObjectDetection(own)
    twin = copy.deepcopy(model)
    stream = io.BytesIO()
    torch.save(model, stream)
    stream.seek(0)
    pickled = torch.load(stream, weights_only=False)
    own.id2label = {1: "dog", 0: "cat"}
    for one in (model, second):
        assert one.model.labels.names == one.model.processor.labels.names == ("cat", "dog")
    for one in (twin, pickled):
        assert one.model.labels.names == ("a", "b")
        with pytest.raises(ContractError, match="num_queries"):
            one.config.num_queries = 9
        one.config.label2id = {"x": 0, "y": 1}
        assert one.model.labels.names == ("x", "y")
    model.config.id2label = {1: "cat", 2: "dog"}
    assert model.model.labels.names == ("0", "cat")
    assert any("no class has the number 2" in note for note in model.weight_report.notes)
    own.id2label[1] = "cats"  # in the mapping itself: followed when it is saved
    model.save_pretrained(tmp_path)
    assert bk.load_model(tmp_path).labels.names == model.model.labels.names == ("0", "cats")
