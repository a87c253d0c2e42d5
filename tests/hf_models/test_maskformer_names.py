"""MaskFormer under transformers' names: the guide's ways to name a backbone, loading, saving, losses, equality."""

import json
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

import backbonekit
from backbonekit import Dinov2Config, ResNetBackbone, ResNetConfig, SwinBackbone, SwinConfig, TimmBackboneConfig
from backbonekit.errors import ContractError, RecipeError
from backbonekit.hf_models import MaskFormerConfig, MaskFormerForInstanceSegmentation
from tests.fixed_weights import randomise_weights
from tests.hf_cache import COMMIT, cache_repository

SMALL = {
    "decoder_config": {
        "d_model": 32,
        "decoder_layers": 2,
        "decoder_attention_heads": 4,
        "decoder_ffn_dim": 40,
        "num_queries": 7,
    },
    "fpn_feature_size": 32,
    "mask_feature_size": 24,
}
SWIN = {"embed_dim": 12, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 3, 4], "window_size": 4}


def resnet(**fields) -> ResNetConfig:
    return ResNetConfig(hidden_sizes=[16, 24, 32, 48], depths=[1, 1, 1, 1], layer_type="basic", **fields)


def built(**fields) -> MaskFormerForInstanceSegmentation:
    return MaskFormerForInstanceSegmentation(MaskFormerConfig(**SMALL, **fields))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that has a small ResNet as microsoft/resnet-50."""
    randomise_weights(backbone := ResNetBackbone(resnet()))
    backbone.save_pretrained(tmp_path / "resnet")
    cache_repository(tmp_path / "hub", "microsoft/resnet-50", tmp_path / "resnet")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def test_s3_a_pretrained_backbone_by_name(hub: Path) -> None:
    model = built(backbone="microsoft/resnet-50", use_pretrained_backbone=True)
    report = model.weight_report
    assert report.sources[0].origin == f"microsoft/resnet-50@{COMMIT[:8]}"
    assert report.sources[0].loaded == report.sources[0].parameters > 0
    assert all(source.loaded == 0 for source in report.sources[1:])
    stored = ResNetBackbone.from_pretrained(hub / "resnet", out_indices=[1, 2, 3, 4])
    images = torch.randn(1, 3, 70, 50)
    out = model(images)
    for ours, theirs in zip(out.feature_maps, stored(images).feature_maps, strict=True):
        torch.testing.assert_close(ours, theirs)  # channels last, so sums have another order
    assert out.masks_queries_logits.shape == (1, 7, 18, 13)


def test_a_folder_by_name_and_random_weights_by_name(hub: Path) -> None:
    loaded = built(backbone=str(hub / "resnet"), use_pretrained_backbone=True)
    random = built(backbone="microsoft/resnet-50")
    assert loaded.weight_report.pretrained_share > 0.1
    assert random.weight_report.pretrained_share == 0
    assert len(random(torch.randn(1, 3, 64, 64)).feature_maps) == 4


@pytest.mark.parametrize(
    ("fields", "channels"),
    [
        ({"backbone_config": resnet()}, [16, 24, 32, 48]),  # S4
        ({"backbone": "test_resnet", "use_timm_backbone": True}, [32, 48, 192, 96]),  # S5
        ({"backbone_config": TimmBackboneConfig("test_resnet")}, [32, 48, 192, 96]),  # S7
        ({"backbone_config": resnet().to_dict()}, [16, 24, 32, 48]),
        ({"backbone_config": {"model_type": "timm_backbone", "backbone": "test_resnet"}}, [32, 48, 192, 96]),
        ({"backbone_config": SwinConfig(**SWIN)}, [12, 24, 48, 96]),
        ({"backbone_config": resnet(out_features=["stage2", "stage4"])}, [24, 48]),
        ({"backbone_config": SwinConfig(**SWIN, out_indices=[2, 3, 4])}, [24, 48, 96]),
        ({"backbone_config": {"model_type": "resnet", **resnet().to_mapping(), "out_indices": [2, 4]}}, [24, 48]),
        ({"backbone": "timm/test_resnet", "backbone_kwargs": {"out_indices": [2, 4]}}, [48, 96]),
    ],
)
def test_every_way_to_name_a_backbone_runs(fields, channels) -> None:
    out = built(**fields)(torch.randn(1, 3, 64, 64))
    assert [level.shape[1] for level in out.feature_maps] == channels
    assert out.masks_queries_logits.shape[:2] == (1, 7)


def test_a_plain_transformer_gets_its_pyramid() -> None:
    config = Dinov2Config(hidden_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=56, patch_size=14)
    model = built(backbone_config=config)
    assert [part.name for part in model.model.recipe.neck] == ["simple_feature_pyramid", "fpn_pixel_decoder"]
    assert model(torch.randn(1, 3, 56, 56)).masks_queries_logits.shape == (1, 7, 16, 16)


def test_a_swin_by_name_has_its_four_maps(tmp_path: Path) -> None:
    SwinBackbone(SwinConfig(**SWIN)).save_pretrained(tmp_path)
    model = built(backbone=str(tmp_path), use_pretrained_backbone=True)
    assert [level.shape[1] for level in model(torch.randn(1, 3, 64, 64)).feature_maps] == [12, 24, 48, 96]
    assert model.weight_report.sources[0].loaded > 0


def test_indices_of_a_named_backbone_are_honoured(hub: Path) -> None:
    model = built(backbone="microsoft/resnet-50", backbone_kwargs={"out_features": ["stage2", "stage3"]})
    assert [level.shape[1] for level in model(torch.randn(1, 3, 64, 64)).feature_maps] == [24, 32]


def test_a_configuration_opens_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_, **__):
        raise AssertionError("the network or a file was read")

    monkeypatch.setattr("backbonekit.weights.hub.resolve_commit", refuse)
    monkeypatch.setattr("backbonekit.weights.repository.Repository.path", refuse)
    config = MaskFormerConfig(backbone="microsoft/resnet-50", use_pretrained_backbone=True)
    assert config.recipe().backbone.pretrained is True
    assert MaskFormerConfig().recipe().backbone.config["model_type"] == "maskformer-swin"


@pytest.mark.parametrize(
    ("fields", "kind", "message"),
    [
        ({"fpn_feture_size": 3}, RecipeError, "did you mean 'fpn_feature_size'"),
        ({"backbone": "a/b", "backbone_config": resnet()}, ContractError, "backbone_config together with backbone"),
        ({"use_timm_backbone": True, "backbone_config": resnet()}, ContractError, "with use_timm_backbone"),
        ({"backbone_kwargs": {"a": 1}, "backbone_config": resnet()}, ContractError, "with backbone_kwargs"),
        ({"use_pretrained_backbone": True}, ContractError, "without backbone"),
        (
            {"use_pretrained_backbone": True, "backbone_config": TimmBackboneConfig("resnet18")},
            ContractError,
            "in the TimmBackboneConfig",
        ),
        ({"backbone": "resnet50"}, ContractError, "use_timm_backbone=True"),
        ({"backbone": "resnet500", "use_timm_backbone": True}, RecipeError, "did you mean 'resnet50'"),
        ({"backbone_config": {"model_type": "resnte"}}, RecipeError, "did you mean 'resnet'"),
        ({"backbone_config": {"model_type": "timm_backbone"}}, RecipeError, "must name an architecture"),
        ({"backbone_config": 3}, ContractError, "got int"),
        ({"decoder_config": {"num_queries": "many"}}, RecipeError, "num_queries"),
        ({"mask_weight": "much"}, RecipeError, "mask_weight"),
        ({"num_labels": 0}, RecipeError, "num_labels=0"),
        ({"num_labels": 3, "id2label": {0: "sky"}}, ContractError, "id2label has 1"),
        ({"id2label": {0: "sky", "second": "road"}}, RecipeError, "'second' is no class index"),
    ],
)
def test_all_faults_are_reported_at_once(fields, kind, message) -> None:
    with pytest.raises(kind, match=message):
        MaskFormerConfig(**fields)


def test_classes_by_any_of_three_names() -> None:
    named = MaskFormerConfig(id2label={"0": "sky", "1": "road"})
    assert named == MaskFormerConfig(label2id={"road": 1, "sky": 0})
    assert (named.num_labels, named.label2id) == (2, {"sky": 0, "road": 1})
    assert named.recipe().labels.names == ("sky", "road")
    counted = MaskFormerConfig(num_labels=5)
    assert counted.recipe().head.options["num_classes"] == 5
    counted.num_labels = 6
    assert counted.recipe().head.options["num_classes"] == 6


@pytest.mark.parametrize(
    "backbone",
    [resnet(), resnet(out_features=["stage2", "stage4"]), SwinConfig(**SWIN), TimmBackboneConfig("test_resnet")],
)
def test_a_configuration_is_written_and_read(backbone, tmp_path: Path) -> None:
    config = MaskFormerConfig(**SMALL, backbone_config=backbone, num_labels=4, mask_weight=5.0, use_auxiliary_loss=True)
    config.save_pretrained(tmp_path)
    read = MaskFormerConfig.from_pretrained(tmp_path)
    assert read.to_dict() == config.to_dict()
    assert read.recipe() == config.recipe()
    again = MaskFormerConfig.from_recipe(MaskFormerForInstanceSegmentation(config).model.recipe).recipe()
    assert (again.neck, again.head, again.labels) == (config.recipe().neck, config.recipe().head, None)


def test_saving_and_loading(tmp_path: Path) -> None:
    model = built(backbone_config=resnet(), id2label={0: "sky", 1: "road", 2: "car"})
    randomise_weights(model)
    model.save_pretrained(tmp_path / "m1")
    again = MaskFormerForInstanceSegmentation.from_pretrained(tmp_path / "m1")
    images = torch.randn(2, 3, 65, 47)
    assert torch.equal(model(images).masks_queries_logits, again(images).masks_queries_logits)
    assert again.config.id2label == {0: "sky", 1: "road", 2: "car"}
    assert again.config.backbone_config.hidden_sizes == [16, 24, 32, 48]
    assert again.weight_report.pretrained_share == 1.0


def test_other_classes_keep_the_rest(tmp_path: Path) -> None:
    model = built(backbone_config=resnet(), num_labels=3)
    randomise_weights(model)
    model.save_pretrained(tmp_path / "m1")
    with pytest.raises(ContractError, match="ignore_mismatched_sizes=True"):
        MaskFormerForInstanceSegmentation.from_pretrained(tmp_path / "m1", num_labels=5)
    changed = MaskFormerForInstanceSegmentation.from_pretrained(
        tmp_path / "m1", id2label={0: "a", 1: "b", 2: "c", 3: "d"}, ignore_mismatched_sizes=True
    )
    assert changed(torch.randn(1, 3, 64, 64)).class_queries_logits.shape == (1, 7, 5)
    assert torch.equal(changed.model.head.queries.weight, model.model.head.queries.weight)
    assert torch.equal(changed.model.backbone.body.conv1.weight, model.model.backbone.body.conv1.weight)
    renamed = MaskFormerForInstanceSegmentation.from_pretrained(tmp_path / "m1", id2label={0: "a", 1: "b", 2: "c"})
    assert torch.equal(renamed.model.head.class_predictor.weight, model.model.head.class_predictor.weight)
    assert renamed.config.id2label[2] == "c"


def test_another_model_is_refused(tmp_path: Path) -> None:
    backbonekit.build_model("fcn_resnet50", ["backbone=timm/test_resnet"]).save_pretrained(tmp_path / "m1")
    with pytest.raises(ContractError, match="load_model opens any model"):
        MaskFormerForInstanceSegmentation.from_pretrained(tmp_path / "m1")


def test_the_seed_decides_and_the_global_state_is_left_alone() -> None:
    state = torch.get_rng_state()
    config = MaskFormerConfig(**SMALL, backbone_config=resnet())
    one, again, other = (MaskFormerForInstanceSegmentation(config, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.model.head.queries.weight, again.model.head.queries.weight)
    assert not torch.equal(one.model.head.queries.weight, other.model.head.queries.weight)


def test_an_older_file_of_the_hub_is_read() -> None:
    # Of transformers 4: generic fields in every nested mapping, a Swin whose own choice of maps does not count.
    generic = {"_name_or_path": "", "add_cross_attention": False, "torch_dtype": "float32", "num_labels": 2}
    file = {
        **generic,
        "architectures": ["MaskFormerForInstanceSegmentation"],
        "model_type": "maskformer",
        "transformers_version": "4.25.0",
        "backbone_config": {**generic, **SWIN, "model_type": "swin", "out_features": ["stage4"], "num_layers": 4},
        "decoder_config": {**generic, "model_type": "detr", "d_model": 32, "num_queries": 7},
        "num_attention_heads": 8,
        "num_hidden_layers": 6,
        "num_queries": 7,
        "id2label": {"0": "cat", "1": "dog"},
        "label2id": {"cat": 0, "dog": 1},
    }
    recipe = MaskFormerConfig.from_dict(file).recipe()
    assert recipe.backbone.out_indices == (1, 2, 3, 4)
    assert (recipe.head.options["num_queries"], recipe.labels.names) == (7, ("cat", "dog"))
    misspelt = MaskFormerConfig.from_dict(
        {**file, "mask_weigth": 3.0, "decoder_config": {"num_queries": 7, "num_querys": 3}}
    )
    assert [note.partition(";")[0] for note in misspelt.notes] == [
        "config.json: ignored 'mask_weigth' (not 'mask_weight')",
        "decoder_config: ignored 'num_querys' (not 'num_queries')",
    ]


def test_it_compiles_and_exports_in_one_piece() -> None:
    model = built(backbone_config=resnet())
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = model(images, pixel_mask=torch.ones(1, 64, 64, dtype=torch.int64))
        compiled = torch.compile(model, fullgraph=True, backend="eager")
        given = compiled(images, pixel_mask=torch.ones(1, 64, 64, dtype=torch.int64))
        exported = torch.export.export(model, (images,)).module()(images)
    for out in (given, exported):
        assert torch.allclose(out.masks_queries_logits, expected.masks_queries_logits, atol=1e-5)


def test_labels_go_together() -> None:
    model = built(backbone_config=resnet())
    with pytest.raises(ContractError, match="mask_labels of 1 images and class_labels of 0"):
        model(torch.randn(1, 3, 32, 32), mask_labels=[torch.ones(1, 32, 32)])


def test_a_loss_with_auxiliary_logits_and_a_pixel_mask() -> None:
    model = built(backbone_config=resnet(), use_auxiliary_loss=True)
    images, real = torch.randn(1, 3, 64, 64), torch.ones(1, 64, 64, dtype=torch.int64)
    real[:, :, 20:] = 0
    labels = {"mask_labels": [torch.ones(1, 64, 64)], "class_labels": [torch.tensor([1])]}
    out = model(images, pixel_mask=real, **labels)
    out["loss"].backward()
    assert torch.allclose(out.loss, sum(out.losses.values()))
    assert [set(layer) for layer in out.auxiliary_logits] == [{"class_queries_logits", "masks_queries_logits"}] * 2
    assert "loss" not in model(images)
    assert not torch.equal(model(images, pixel_mask=real).class_queries_logits, model(images).class_queries_logits)


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # transformers' own
@pytest.mark.parametrize("backbone", ["resnet", "swin", "timm"])
@pytest.mark.parametrize("auxiliary", [False, True])
def test_a_folder_of_transformers_has_its_logits_and_loss(backbone, auxiliary, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    four = [1, 2, 3, 4]
    backbones = {
        "resnet": lambda: transformers.ResNetConfig(
            hidden_sizes=[16, 24, 32, 48], depths=[1, 1, 1, 1], layer_type="basic", out_indices=four
        ),
        "swin": lambda: transformers.SwinConfig(**SWIN, image_size=64, out_indices=four),
        "timm": lambda: transformers.TimmBackboneConfig(
            backbone="resnet18", out_indices=four, use_pretrained_backbone=False
        ),
    }
    config = transformers.MaskFormerConfig(
        backbone_config=backbones[backbone](),
        decoder_config=transformers.DetrConfig(**SMALL["decoder_config"]),
        fpn_feature_size=32,
        mask_feature_size=24,
        id2label={0: "sky", 1: "person", 2: "road"},
        use_auxiliary_loss=auxiliary,
        output_auxiliary_logits=auxiliary,
    )
    theirs = randomise_weights(transformers.MaskFormerForInstanceSegmentation(config)).eval()
    theirs.save_pretrained(tmp_path)
    ours = MaskFormerForInstanceSegmentation.from_pretrained(tmp_path)
    assert ours.config.id2label == {0: "sky", 1: "person", 2: "road"}
    file = json.loads((tmp_path / "config.json").read_text())
    assert MaskFormerConfig.from_dict(file).recipe().head == ours.model.recipe.head
    for height, width in ((131, 87), (64, 64), (96, 161)):
        images = torch.randn(2, 3, height, width)
        labels = {
            "mask_labels": [(torch.rand(count, height, width) > 0.6).float() for count in (3, 1)],
            "class_labels": [torch.tensor([0, 2, 2]), torch.tensor([1])],
        }
        with torch.no_grad():
            expected, given = theirs(images, **labels, output_hidden_states=auxiliary), ours(images, **labels)
        for name in ("class_queries_logits", "masks_queries_logits"):
            assert (given[name] - expected[name]).abs().max() / expected[name].abs().max() < 1e-4, name
        assert abs(given.loss - expected.loss) / expected.loss < 1e-4
        if auxiliary:
            for own, reference in zip(given.auxiliary_logits, expected.auxiliary_logits, strict=True):
                for name, value in reference.items():
                    assert (own[name] - value).abs().max() / value.abs().max() < 1e-4, name
