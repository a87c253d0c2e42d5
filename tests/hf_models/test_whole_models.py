"""Whole models and their configurations: which arguments are accepted, and the errors for the rest."""

import pickle

import pytest
import torch

import backbonekit as bk
from backbonekit.errors import ContractError, RecipeError, StorageError
from backbonekit.registry.model_names import MODELS

RESNET = {"hidden_sizes": (8, 16, 24, 32), "depths": (1, 1, 1, 1), "layer_type": "basic"}
TINY = {
    "d_model": 32, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "num_queries": 5,
}  # fmt: skip


def detr(**changes) -> bk.DetrForObjectDetection:
    fields = {"backbone_config": bk.ResNetConfig(**RESNET), **TINY, **changes}
    return bk.DetrForObjectDetection(bk.DetrConfig(**fields))


@pytest.mark.parametrize("model_type", MODELS)
def test_an_unknown_field_is_an_error_with_the_nearest_name(model_type: str) -> None:
    config = getattr(bk, MODELS[model_type].config)
    least = config(**_least(model_type))
    candidates = ("num_queries", "fusion_hidden_size", "auxiliary_channels", "scale_factor", "fpn_feature_size")
    field = next(name for name in candidates if hasattr(least, name))
    misspelt = field[:-1]
    with pytest.raises(RecipeError, match=f"{config.__name__} has no field '{misspelt}'.*did you mean '{field}'"):
        config(**_least(model_type), **{misspelt: 3})
    good = config(**_least(model_type))
    with pytest.raises(RecipeError, match=f"{config.__name__} has no field '{misspelt}'; did you mean '{field}'"):
        setattr(good, misspelt, 3)
    with pytest.raises(AttributeError, match=f"did you mean '{field}'"):
        getattr(good, misspelt)


def _least(model_type: str) -> dict:
    """What must be said."""
    return {"backbone_config": bk.Dinov2Config(out_indices=(3, 6, 9, 12))} if model_type == "dpt" else {}


@pytest.mark.parametrize("model_type", MODELS)
def test_a_configuration_comes_back_from_its_content_and_from_pickle(model_type: str) -> None:
    config = getattr(bk, MODELS[model_type].config)(**_least(model_type), id2label={0: "cat", 1: "dog"})
    assert type(config).from_dict(config.to_dict()) == config
    again = pickle.loads(pickle.dumps(config))
    assert type(again) is type(config)
    assert again == config
    assert (config.num_labels, config.label2id) == (2, {"cat": 0, "dog": 1})


def test_fields_are_attributes_and_can_be_set() -> None:
    config = bk.DetrConfig(**TINY)
    assert (config.num_queries, config.dropout, config.num_labels) == (5, 0.1, 2)
    config.num_queries, config.num_labels = 9, 4
    head = config.recipe().head
    assert (head.options["num_queries"], head.options["num_classes"]) == (9, 4)
    config.backbone_config = {"model_type": "resnet", "depths": [1, 1, 1, 1]}
    assert config.recipe().backbone.config["depths"] == [1, 1, 1, 1]


def test_the_file_of_another_model_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"DetrConfig: this is the config.json of a 'upernet'"):
        bk.DetrConfig.from_dict(bk.UperNetConfig().to_dict())
    with pytest.raises(ContractError, match="DetrForObjectDetection is built from a DetrConfig, got UperNetConfig"):
        bk.DetrForObjectDetection(bk.UperNetConfig())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"backbone": "resnet18", "backbone_config": bk.ResNetConfig()}, "backbone_config together with backbone"),
        ({"use_timm_backbone": True, "backbone_config": bk.ResNetConfig()}, "backbone_config together with use_timm"),
        ({"use_pretrained_backbone": True}, "use_pretrained_backbone without backbone"),
        ({"backbone": "resnet18"}, "use_timm_backbone=True"),
    ],
)
def test_conflicting_arguments_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        bk.DetrConfig(**fields)


def test_older_ways_to_name_a_backbone() -> None:
    timm = bk.DetrConfig(backbone="resnet18", use_timm_backbone=True, backbone_kwargs={"num_channels": 4}).recipe()
    assert (timm.backbone.source, timm.backbone.name, timm.backbone.in_channels) == ("timm", "resnet18", 4)
    default = bk.DetrConfig(use_timm_backbone=True, use_pretrained_backbone=True, dilation=True).recipe().backbone
    assert (default.name, default.pretrained, default.args) == ("resnet50", True, {"output_stride": 16})
    for config in (bk.Mask2FormerConfig, bk.RTDetrV2Config, bk.UperNetConfig, bk.DPTConfig, bk.DepthAnythingConfig):
        named = config(backbone="owner/name", use_pretrained_backbone=True).recipe().backbone
        assert (named.source, named.name, named.pretrained, named.out_indices) == ("hf", "owner/name", True, None)


def test_maps_that_nobody_chose_are_those_that_the_model_needs() -> None:
    resnet = bk.ResNetConfig(**RESNET)
    deformable = bk.DeformableDetrConfig(backbone_config=resnet).recipe()
    assert deformable.backbone.out_indices == (2, 3, 4)
    assert deformable.neck[0].options["num_extra_levels"] == 1
    timm = bk.DeformableDetrConfig(backbone="resnet18", use_timm_backbone=True).recipe()
    assert timm.backbone.out_indices == (2, 3, 4)
    fields = {"feature_size": 32, "mask_feature_size": 32, "hidden_dim": 32, "encoder_layers": 1, "decoder_layers": 2}
    config = bk.Mask2FormerConfig(backbone_config=resnet, num_attention_heads=2, dim_feedforward=16, **fields)
    model = bk.Mask2FormerForUniversalSegmentation(config)
    assert len(model(torch.randn(1, 3, 64, 64)).feature_maps) == 4


def test_a_detector_learns_saves_and_comes_back(tmp_path) -> None:
    model = detr(id2label={0: "cat", 1: "dog"}).train()
    mask = torch.ones(2, 64, 64, dtype=torch.long)
    mask[1, 40:] = 0
    labels = [
        {"class_labels": torch.tensor([1]), "boxes": torch.tensor([[0.5, 0.5, 0.2, 0.4]])},
        {"class_labels": torch.zeros(0, dtype=torch.long), "boxes": torch.zeros(0, 4)},
    ]
    out = model(torch.randn(2, 3, 64, 64), mask, labels=labels)
    out["loss"].backward()
    assert torch.allclose(out.loss, sum(out.loss_dict.values()))
    assert "loss" not in model(torch.randn(1, 3, 64, 64))
    assert model.main_input_name == "pixel_values"
    model.eval().save_pretrained(tmp_path)
    images = torch.randn(1, 3, 70, 90)
    again = bk.DetrForObjectDetection.from_pretrained(tmp_path)
    with torch.no_grad():
        for other in (again(images).logits, bk.load_model(tmp_path)(images).predictions.class_logits):
            torch.testing.assert_close(other, model(images).logits)
    processor = bk.AutoImageProcessor.from_pretrained(tmp_path)
    assert processor.kind == "Detr"
    assert processor.processing == model.model.processor.processing
    assert again.model.processor.processing == model.model.processor.processing
    assert again.config.id2label == {0: "cat", 1: "dog"}
    assert not any(bool(source.fresh) for source in again.weight_report.sources)


def test_a_save_that_fails_leaves_the_folder_as_it_was(tmp_path, monkeypatch) -> None:
    model = detr(num_labels=3)
    model.save_pretrained(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*_, **__):
        raise OSError("the disk is full")

    monkeypatch.setattr("backbonekit.hf_models.model_saving.save_tensors", fail)
    with pytest.raises(StorageError, match="could not be written"):
        detr(num_labels=4).save_pretrained(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_second_names_and_fields_of_older_releases_are_read() -> None:
    config = bk.DetrConfig(**{**TINY, "d_model": None}, hidden_size=64, classifier_dropout=0.3)
    assert (config.d_model, config.hidden_size) == (64, 64)
    assert "classifier_dropout" not in config.to_dict()
    assert bk.DetrConfig.from_dict({"num_hidden_layers": 3, "encoder_layers": 5}).encoder_layers == 5


def test_labels_of_fewer_images_or_without_their_keys_are_refused() -> None:
    with pytest.raises(ContractError, match="labels of 1 images for a batch of 2"):
        detr()(torch.randn(2, 3, 64, 64), labels=[{}])
    with pytest.raises(ContractError, match=r"labels\[0\] has no boxes and no class_labels; .*given: 'labels'"):
        detr()(torch.randn(1, 3, 64, 64), labels=[{"labels": torch.tensor([1])}])


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ({"boxes": torch.rand(1, 4)}, r"labels\[0\] has no class_labels; .*given: 'boxes'"),
        ({"class_labels": torch.tensor([1]), "boxes": torch.tensor([[3.0, 3, 40, 50]])}, "in 0..1 of the image"),
    ],
)
def test_labels_in_other_units_are_refused(labels, says) -> None:
    with pytest.raises(ContractError, match=says):
        detr()(torch.randn(1, 3, 64, 64), labels=[labels])


def test_other_classes_than_the_saved_ones(tmp_path) -> None:
    detr(num_labels=3).save_pretrained(tmp_path)
    with pytest.raises(ContractError, match="has 3 classes, requested are 2"):
        bk.DetrForObjectDetection.from_pretrained(tmp_path, id2label={0: "cat", 1: "dog"})
    model = bk.DetrForObjectDetection.from_pretrained(
        tmp_path, id2label={0: "cat", 1: "dog"}, ignore_mismatched_sizes=True
    )
    assert model(torch.randn(1, 3, 64, 64)).logits.shape == (1, 5, 3)
    assert model.model.recipe.labels.names == ("cat", "dog")
    model.save_pretrained(tmp_path / "pets")
    assert bk.DetrForObjectDetection.from_pretrained(tmp_path / "pets").config.id2label == {0: "cat", 1: "dog"}
    renamed = bk.DetrForObjectDetection.from_pretrained(tmp_path, id2label={0: "a", 1: "b", 2: "c"})
    assert not renamed.weight_report.sources[-1].fresh


def test_folders_of_other_kinds_are_refused(tmp_path) -> None:
    model = detr()
    model.save_pretrained(tmp_path / "hf")
    with pytest.raises(ContractError, match="says that it is DetrForObjectDetection, and no UperNetForSemantic"):
        bk.UperNetForSemanticSegmentation.from_pretrained(tmp_path / "hf")
    model.model.save_pretrained(tmp_path / "recipe")
    with pytest.raises(ContractError, match=r"saved as a recipe.*load_model"):
        bk.DetrForObjectDetection.from_pretrained(tmp_path / "recipe")


def test_what_transformers_has_not_is_saved_as_a_recipe(tmp_path) -> None:
    vit = bk.Dinov2Config(hidden_size=24, num_hidden_layers=4, num_attention_heads=2, image_size=56)
    fields = {"feature_size": 32, "mask_feature_size": 32, "hidden_dim": 32, "encoder_layers": 1, "decoder_layers": 2}
    config = bk.Mask2FormerConfig(backbone_config=vit, num_attention_heads=2, dim_feedforward=16, **fields)
    model = bk.Mask2FormerForUniversalSegmentation(config)
    assert model.model.recipe.neck[0].name == "simple_feature_pyramid"
    with pytest.raises(ContractError, match=r"transformers has no such model.*model.model.save_pretrained"):
        model.save_pretrained(tmp_path)


def test_what_the_reference_freezes_is_frozen_where_weights_are_loaded(tmp_path) -> None:
    model = detr().train()
    assert all(parameter.requires_grad for parameter in model.model.backbone.body.parameters())
    model.save_pretrained(tmp_path)
    loaded = bk.DetrForObjectDetection.from_pretrained(tmp_path).train()
    body = loaded.model.backbone.body
    assert not body.conv1.weight.requires_grad
    assert not body.bn1.training
    assert body.layer4[0].conv1.weight.requires_grad
    assert not body.layer4[0].bn1.training
    ordered = bk.TimmBackboneConfig("resnet18", freeze_batch_norm_2d=True)
    fields = {"feature_size": 32, "mask_feature_size": 32, "hidden_dim": 32, "encoder_layers": 1, "decoder_layers": 2}
    config = bk.Mask2FormerConfig(backbone_config=ordered, num_attention_heads=2, dim_feedforward=16, **fields)
    body = bk.Mask2FormerForUniversalSegmentation(config).train().model.backbone.body
    assert not body.bn1.training
    assert body.conv1.weight.requires_grad


def test_depth_is_trained_and_compiled() -> None:
    backbone = bk.Dinov2Config(
        hidden_size=24, num_hidden_layers=4, num_attention_heads=2, image_size=56, out_indices=(1, 2, 3, 4)
    )
    config = bk.DepthAnythingConfig(
        backbone_config=backbone, neck_hidden_sizes=[6, 8, 10, 12], fusion_hidden_size=16, head_hidden_size=6,
        reassemble_hidden_size=24,
    )  # fmt: skip
    model = bk.DepthAnythingForDepthEstimation(config)
    images = torch.randn(2, 3, 56, 70)
    model(images, labels=torch.rand(2, 56, 70) + 0.1).loss.backward()
    with torch.no_grad():
        expected = model(images).predicted_depth
        compiled = torch.compile(model, fullgraph=True, backend="eager")(images)
    torch.testing.assert_close(compiled.predicted_depth, expected)


def test_a_pose_is_trained() -> None:
    backbone = bk.VitPoseBackboneConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=(64, 48), out_indices=(2,)
    )
    model = bk.VitPoseForPoseEstimation(bk.VitPoseConfig(backbone_config=backbone, num_labels=3))
    labels = torch.tensor([[[10.0, 12.0, 2.0], [30.0, 40.0, 1.0], [0.0, 0.0, 0.0]]])
    out = model(torch.randn(1, 3, 64, 48), labels=labels)
    out.loss.backward()
    assert out.loss > 0
    assert out.heatmaps.shape == (1, 3, 16, 12)
