"""Features of images: every pooling, batches of one size, and nothing that depends on batch-mates."""

import json

import numpy as np
import pytest
import torch

import backbonekit as bk
from backbonekit.contract.maps import FeatureMaps
from backbonekit.errors import ContractError, RecipeError
from backbonekit.ops.pooling import pool_map

VIT = {"model_type": "dinov2", "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 56}
SMALL = ["processing.size=[56,56]", "processing.shortest_edge=null", "processing.crop=null"]
SIZES = [(40, 56), (64, 30), (40, 56), (33, 47), (64, 30), (5, 5)]


def images() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 255, (*size, 3), dtype=np.uint8) for size in SIZES]


def vit(*overrides: str):
    return bk.build_model({"backbone": {"source": "hf", "config": VIT}}, [*SMALL, *overrides])


@pytest.fixture(scope="module")
def resnet():
    """Images keep their sizes, so that there are several in one call."""
    size = ["processing.size=null", "processing.shortest_edge=null", "processing.crop=null"]
    return bk.build_model({}, ["backbone=timm/test_resnet", "backbone.out_indices=[3,4]", *size])


def test_pooling_leaves_padding_out():
    maps = torch.arange(12.0).reshape(1, 2, 2, 3)
    mask = torch.tensor([[[True, True, False], [True, True, False]]])
    maps[..., 2] = torch.inf
    assert pool_map(maps, "mean", mask).tolist() == [[2.0, 8.0]]
    assert pool_map(maps, "max", mask).tolist() == [[4.0, 10.0]]
    cubes = ((1 + 3**3 + 4**3) / 4) ** (1 / 3)
    assert pool_map(maps, "gem", mask)[0, 0].item() == pytest.approx(cubes)
    assert pool_map(maps[..., :2], "gem", None)[0, 0].item() == pytest.approx(cubes)
    assert pool_map(maps.half(), "mean", mask).dtype == torch.float32


@pytest.mark.parametrize("pool", ["mean", "max", "gem"])
def test_a_vector_is_that_of_its_map(resnet, pool):
    given = resnet.embed(images(), pool=pool)
    assert given.shape == (len(SIZES), sum(resnet.features.channels))
    assert not given.is_inference()
    for image, vector in zip(images(), given, strict=True):
        maps = resnet(**resnet.processor(image)).feature_maps
        torch.testing.assert_close(vector, torch.cat([pool_map(each, pool, None)[0] for each in maps]))


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_no_image_depends_on_its_batch(resnet, batch_size):
    whole = resnet.embed(images())
    torch.testing.assert_close(resnet.embed(images(), batch_size=batch_size), whole)
    torch.testing.assert_close(resnet.embed(images()[3]), whole[3:4])


def test_class_tokens_and_maps_are_reachable():
    model = vit("backbone.out_indices=[1,3]")
    tokens = model.embed(images(), pool="cls")
    apart = model.embed(images(), pool="none")
    assert tokens.shape == (len(SIZES), 48)
    assert all(isinstance(each, FeatureMaps) for each in apart)
    assert [tuple(each.shape) for each in apart[0].maps] == [(24, 4, 4)] * 2
    assert [tuple(each.shape) for each in apart[0].prefix_tokens] == [(1, 24)] * 2
    torch.testing.assert_close(torch.cat([each[0] for each in apart[0].prefix_tokens]), tokens[0])


def test_maps_have_no_padding(resnet):
    model = bk.build_model({}, ["backbone=timm/test_resnet", "processing.size=null", "processing.crop=null",
                                "processing.shortest_edge=null", "processing.canvas=[96,96]"])  # fmt: skip
    (alone,) = model.embed(images()[1], pool="none")
    assert alone.maps[0].shape[1:] == (2, 1)
    padded = model(**model.processor(images()[1])).feature_maps[0]
    torch.testing.assert_close(alone.maps[0], padded[0, :, :2, :1])
    torch.testing.assert_close(model.embed(images()[1], pool="max")[0], alone.maps[0].amax(dim=(1, 2)))


def test_what_cannot_be_pooled_raises(resnet):
    with pytest.raises(ContractError, match=r"pool=cls: .* has no class token"):
        resnet.embed(images(), pool="cls")
    with pytest.raises(RecipeError, match=r"pool=gen: .*did you mean 'gem'"):
        resnet.embed(images(), pool="gen")
    with pytest.raises(RecipeError, match="batch_size=0"):
        resnet.embed(images(), batch_size=0)
    registers = bk.build_model(
        {}, ["backbone=timm/vit_medium_patch16_reg4_gap_256", "backbone.args={depth: 1, embed_dim: 24, num_heads: 2}"]
    )
    with pytest.raises(ContractError, match=r"pool=cls: .* has no class token"):
        registers.embed(images(), pool="cls")


def test_of_a_model_with_a_neck_and_no_head_the_necks_maps():
    model = bk.build_model({}, ["backbone=timm/test_resnet", "neck=fpn", "neck.channels=8"])
    assert model.embed(images()[:2]).shape == (2, 8 * len(model.features.levels))


def test_a_head_changes_nothing():
    alone = bk.build_model({}, ["backbone=timm/test_resnet"])
    model = bk.build_model({}, ["backbone=timm/test_resnet", "head=classification", "head.num_classes=3"])
    torch.testing.assert_close(model.embed(images()), alone.embed(images()))


@pytest.mark.parametrize("kind", ["hf", "timm"])
def test_backbones_under_the_names_of_transformers(kind):
    if kind == "hf":
        backbone = bk.AutoBackbone.from_config(VIT, seed=3)
        given = bk.build_model({"backbone": {"source": "hf", "config": VIT}}, seed=0)
    else:
        backbone = bk.TimmBackbone(bk.TimmBackboneConfig("test_resnet", use_pretrained_backbone=False))
        given = bk.build_model({}, ["backbone=timm/test_resnet"])
    given.backbone.load_state_dict(backbone.backbone.state_dict())
    assert backbone.processor.processing == given.processor.processing
    torch.testing.assert_close(backbone.embed(images()), given.embed(images()))
    (maps,) = backbone.embed(images()[0], pool="none")
    assert len(maps.prefix_tokens) == (kind == "hf")


def test_a_repositorys_own_processing_counts(tmp_path):
    bk.AutoBackbone.from_config(VIT).save_pretrained(tmp_path)
    settings = {
        "image_processor_type": "BitImageProcessor",
        "size": {"height": 28, "width": 42},
        "do_center_crop": False,
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    backbone = bk.AutoBackbone.from_pretrained(tmp_path)
    assert backbone.processor.processing.size == (28, 42)
    assert backbone.embed(images()[0], pool="none")[0].maps[0].shape[1:] == (2, 3)


CONVNEXT = {"model_type": "convnext", "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}


@pytest.mark.parametrize("source", ["hf", "timm"])
def test_the_norm_around_the_pooling_is_saved_and_trained_with_the_rest(source, tmp_path):
    own = {"source": "hf", "config": CONVNEXT} if source == "hf" else {"source": "timm", "name": "test_convnext2"}
    model = bk.build_model({"backbone": {**own, "args": {"norm": "embedding"}}}, SMALL)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
    plain = bk.build_model({"backbone": own}, SMALL)
    extra = set(model.backbone.state_dict()) - set(plain.backbone.state_dict())
    assert len(extra) == 2
    model.save_pretrained(tmp_path / "m")
    again = bk.load_model(tmp_path / "m")
    torch.testing.assert_close(again.embed(images()), model.embed(images()))
    vectors = model.extract(torch.randn(1, 3, 64, 64)).maps[-1].mean(dim=(2, 3))
    normed = model.after_pooling(vectors, 0)
    assert not torch.allclose(normed, vectors)
    groups = bk.parameter_groups(model, lr=1.0, weight_decay=0.1, layer_decay=0.5)
    assert sum(len(group["params"]) for group in groups) == sum(p.requires_grad for p in model.parameters())
    model.train()(torch.randn(2, 3, 64, 64)).feature_maps[-1].sum().backward()
    assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


def test_other_norms_of_an_architecture_of_timm_are_refused():
    with pytest.raises(RecipeError, match="none or embedding"):
        bk.build_model({}, ["backbone=timm/test_resnet", "backbone.args.norm=final"])
