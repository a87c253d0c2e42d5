"""Weights that arrive (from a folder that transformers saved, for other channels, after a change) and that do not."""

import pytest
import torch
from safetensors.torch import load_file, save_file

import backbonekit as bk
from backbonekit.assembly import build
from backbonekit.errors import RecipeError, StorageError, WeightsError
from tests.assembly.recipes import MASKFORMER, PIXEL_DECODER, RESNET, SWIN, TIMM_RESNET, maskformer
from tests.fixed_weights import randomise_weights


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers")


@pytest.fixture
def resnet(transformers, tmp_path):
    """A classifier of transformers and the folder it was saved in."""
    config = {key: value for key, value in RESNET["config"].items() if key != "model_type"}
    model = randomise_weights(transformers.ResNetForImageClassification(transformers.ResNetConfig(**config)))
    model.eval().save_pretrained(tmp_path / "resnet")
    return model, tmp_path / "resnet"


@pytest.fixture
def swin(transformers, tmp_path):
    config = {key: value for key, value in SWIN["config"].items() if key != "model_type"}
    model = randomise_weights(transformers.SwinModel(transformers.SwinConfig(**config)))
    model.eval().save_pretrained(tmp_path / "swin")
    return model, tmp_path / "swin"


def source(model, part="backbone"):
    (found,) = (source for source in model.weight_report.sources if source.part == part)
    return found


# what arrives


def test_a_pretrained_resnet_arrives(resnet):
    theirs, folder = resnet
    ours = bk.build_model(maskformer({"source": "hf", "name": str(folder), "pretrained": True}))
    assert torch.equal(
        ours.state_dict()["backbone.body.conv1.weight"],
        theirs.resnet.embedder.embedder.convolution.weight,
    )
    pixel_values = torch.randn(2, 3, 97, 65)
    with torch.no_grad():
        expected = theirs.resnet(pixel_values, output_hidden_states=True).hidden_states[1:]
        for given, other in zip(ours(pixel_values).feature_maps, expected, strict=True):
            torch.testing.assert_close(given, other, rtol=1e-4, atol=1e-5)
    assert source(ours).origin == str(folder)
    assert source(ours).loaded == source(ours).parameters
    assert source(ours, "head").origin == "random, seed 0"
    assert 0 < ours.weight_report.pretrained_share < 1


def test_a_pretrained_swin_arrives(swin, transformers):
    """A whole model's folder; the norms of the maps, which it lacks, start plain here as there."""
    _, folder = swin
    ours = bk.build_model(maskformer({"source": "hf", "name": str(folder), "pretrained": True}))
    theirs = transformers.SwinBackbone.from_pretrained(folder, out_indices=(1, 2, 3, 4)).eval()
    pixel_values = torch.randn(2, 3, 128, 128)
    with torch.no_grad():
        for one, other in zip(ours(pixel_values).feature_maps, theirs(pixel_values).feature_maps, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert ("norms.stage1.weight", "not in the checkpoint: starts as plain normalisation") in source(ours).adapted


def test_weights_from_elsewhere_than_the_architecture(resnet):
    theirs, folder = resnet
    ours = bk.build_model({"backbone": {**RESNET, "pretrained": str(folder)}})
    weight = theirs.resnet.embedder.embedder.convolution.weight
    assert torch.equal(ours.state_dict()["backbone.body.conv1.weight"], weight)


@pytest.mark.parametrize("family", ["resnet", "swin"])
@pytest.mark.parametrize(("channels", "how"), [(1, "summed over 3 input"), (4, "repeated and scaled from 3 input")])
def test_a_pretrained_stem_is_adapted_to_other_channels_and_reported(family, channels, how, request):
    theirs, folder = request.getfixturevalue(family)
    backbone = {"source": "hf", "name": str(folder), "pretrained": True, "in_channels": channels}
    ours = bk.build_model({"backbone": backbone})
    stem, change = source(ours).adapted[0]
    weight = ours.state_dict()[f"backbone.{stem}"]
    (before,) = (p for name, p in theirs.named_parameters() if p.shape[1:2] == (3,) and p.ndim == 4)
    assert weight.shape[1] == channels
    assert f"{how} channels for {channels}" in change
    if channels == 1:
        torch.testing.assert_close(weight.sum(1), before.sum(1))
    else:
        torch.testing.assert_close(weight[:, :3], before * 3 / 4)
    assert ours(torch.randn(1, channels, 64, 64)).feature_maps[0].isfinite().all()
    mean = ours.processor.processing.mean
    assert len(mean) == channels
    assert len(set(mean)) == 1  # those of colours never stand for other channels in turn
    reported = [note for note in ours.weight_report.notes if "give processing.mean" in note]
    assert len(reported) == (channels == 4)


def test_bands_start_from_chosen_pretrained_channels(resnet, tmp_path):
    theirs, folder = resnet
    backbone = {"source": "hf", "name": str(folder), "pretrained": True, "in_channels": 4}
    ours = bk.build_model({"backbone": {**backbone, "bands_from": [2, 1, 0, None]}})
    before = theirs.resnet.embedder.embedder.convolution.weight
    stem, how = source(ours).adapted[0]
    weight = ours.state_dict()[f"backbone.{stem}"]
    torch.testing.assert_close(weight[:, :3], before[:, [2, 1, 0]] * 3 / 4)
    torch.testing.assert_close(weight[:, 3], before.mean(1) * 3 / 4)
    assert "channels 2, 1, 0, the mean of 3" in how
    again = bk.load_model(ours.save_pretrained(tmp_path / "saved"))
    assert torch.equal(again.state_dict()[f"backbone.{stem}"], weight)
    assert again.recipe.backbone.bands_from == (2, 1, 0, None)
    for changes, says in (
        ({"bands_from": [0, 1]}, "2 entries for backbone.in_channels=4"),
        ({"bands_from": [0, 1, 2, 3]}, "has 3; the pretrained stem has 3 channels, 0 to 2"),
        ({"bands_from": [2, 1, 0], "in_channels": 3}, "has no effect"),
        ({"bands_from": [2, 1, 0, 0], "pretrained": False}, "has no effect"),
    ):
        with pytest.raises(RecipeError, match=says):
            bk.build_model({"backbone": {**backbone, **changes}})


# what does not


def refuses(recipe, error, expected, monkeypatch):
    """A message, and nothing that looks like a model on the way."""

    def never(*args, **kwargs):
        raise AssertionError("a model was put together")

    monkeypatch.setattr(build, "ComposedModel", never)
    with pytest.raises(error) as caught:
        bk.build_model(recipe)
    for part in expected:
        assert part in str(caught.value)


def damaged(folder, change):
    file = folder / "model.safetensors"
    tensors = load_file(file)
    name = next(name for name in tensors if name.endswith("stages.0.layers.0.layer.1.convolution.weight"))
    change(tensors, name)
    save_file(tensors, file, metadata={"format": "pt"})


def test_weights_that_lack_one_are_refused(resnet, monkeypatch):
    _, folder = resnet
    damaged(folder, lambda tensors, name: tensors.pop(name))
    expected = [str(folder), "1 missing: body.layer1.0.conv2.weight"]
    refuses(maskformer({"source": "hf", "name": str(folder), "pretrained": True}), WeightsError, expected, monkeypatch)


def test_weights_of_another_shape_are_refused(resnet, monkeypatch):
    _, folder = resnet
    damaged(folder, lambda tensors, name: tensors.update({name: tensors[name][:2].contiguous()}))
    expected = [str(folder), "body.layer1.0.conv2.weight", "[2, 8, 3, 3], expected [8, 8, 3, 3]"]
    refuses(maskformer({"source": "hf", "name": str(folder), "pretrained": True}), WeightsError, expected, monkeypatch)


def test_truncated_weights_are_refused(resnet, monkeypatch):
    _, folder = resnet
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    expected = [str(folder), "no valid safetensors file", "Download or save it again"]
    refuses(maskformer({"source": "hf", "name": str(folder), "pretrained": True}), WeightsError, expected, monkeypatch)


def test_a_folder_without_weights_is_refused(resnet, monkeypatch):
    _, folder = resnet
    (folder / "model.safetensors").unlink()
    expected = [str(folder), "no model.safetensors"]
    refuses(maskformer({"source": "hf", "name": str(folder), "pretrained": True}), StorageError, expected, monkeypatch)


def test_weights_of_another_architecture_are_refused_by_field(resnet, monkeypatch):
    _, folder = resnet
    config = {**RESNET["config"], "depths": [1, 1, 1, 2]}
    expected = ["depths: (1, 1, 1, 2) here, (1, 1, 1, 1) there"]
    refuses(
        {"backbone": {"source": "hf", "config": config, "pretrained": str(folder)}}, RecipeError, expected, monkeypatch
    )
    expected = ["is of model_type swin", "of resnet"]
    refuses({"backbone": {**SWIN, "pretrained": str(folder)}}, RecipeError, expected, monkeypatch)


# a saved model, changed on the way in


@pytest.fixture
def saved(tmp_path):
    model = randomise_weights(bk.build_model(maskformer(TIMM_RESNET)))
    return model.state_dict(), model.save_pretrained(tmp_path / "m1")


@pytest.mark.parametrize(
    ("overrides", "fresh"),
    [
        ([], set()),
        (["head.dropout=0.3"], set()),
        (["processing.shortest_edge=48"], set()),
        (["backbone.args.drop_path_rate=0.2"], set()),  # for fine-tuning: the weights must not be lost over it
        (["backbone.out_indices=[0,1,2,3,4]"], set()),
        (["head.num_classes=7"], {"head.class_predictor.weight", "head.class_predictor.bias"}),
        (["head.num_queries=9"], {"head.queries.weight"}),
        (
            ["neck.mask_channels=24"],  # the width that the neck decides is the head's too
            {
                "neck.0.mask_projection.weight",
                "neck.0.mask_projection.bias",
                "head.mask_embedder.layers.2.weight",
                "head.mask_embedder.layers.2.bias",
            },
        ),
        (
            ["backbone.out_indices=[1,2,3]", "neck.num_deepest_levels=3"],
            {
                "neck.0.stem.convolution.weight",
                "head.input_projection.weight",
                "head.input_projection.bias",
            },
        ),
    ],
)
def test_what_still_fits_stays(saved, overrides, fresh):
    before, folder = saved
    model = bk.load_model(folder, overrides)
    reported = {f"{source.part}.{name}" for source in model.weight_report.sources for name in source.fresh}
    assert reported == fresh
    for name, tensor in model.state_dict().items():
        assert name in fresh or torch.equal(tensor, before[name]), name
    assert all(source.origin == str(folder) for source in model.weight_report.sources)


def test_other_channels_keep_the_backbone(saved):
    before, folder = saved
    model = bk.load_model(folder, ["backbone.in_channels=1", "processing.mean=[0.5]", "processing.std=[0.2]"])
    ((stem, _),) = source(model).adapted
    torch.testing.assert_close(model.state_dict()[f"backbone.{stem}"], before[f"backbone.{stem}"].sum(1, keepdim=True))
    assert source(model).fresh == []


def test_other_weights_that_are_requested_are_loaded(resnet, tmp_path):
    theirs, folder = resnet
    saved = randomise_weights(bk.build_model(maskformer(RESNET))).save_pretrained(tmp_path / "m1")
    model = bk.load_model(saved, [f"backbone.pretrained='{folder}'"])
    weight = theirs.resnet.embedder.embedder.convolution.weight
    assert torch.equal(model.state_dict()["backbone.body.conv1.weight"], weight)
    assert source(model).origin == str(folder)
    assert source(model, "head").origin == str(saved)


def test_a_damaged_model_cannot_be_loaded(saved):
    """A missing tensor is an error where nothing was changed: only what a change explains may start at random."""
    _, folder = saved
    file = folder / "model.safetensors"
    tensors = load_file(file)
    del tensors["head.queries.weight"]
    save_file(tensors, file)
    with pytest.raises(WeightsError):
        bk.load_model(folder)


def test_parts_of_one_name_keep_their_own_weights(tmp_path):
    mappers = [{"name": "channel_mapper", "channels": 32}, {"name": "channel_mapper", "channels": 32}]
    model = randomise_weights(bk.build_model({"backbone": RESNET, "neck": mappers}))
    folder = model.save_pretrained(tmp_path / "m1")
    for overrides in ([], ["backbone=timm/resnet10t"]):
        loaded = bk.load_model(folder, overrides)
        for name in ("neck.0.lateral.0.norm.weight", "neck.1.lateral.0.norm.weight"):
            assert torch.equal(loaded.state_dict()[name], model.state_dict()[name])


def test_a_shared_backbone_keeps_the_rest_of_each_task(tmp_path):
    heads = {
        "seg": {"neck": PIXEL_DECODER, "head": MASKFORMER},
        "cls": {"head": {"name": "classification", "num_classes": 4}},
    }
    model = randomise_weights(bk.build_model({"backbone": RESNET, "heads": heads}))
    loaded = bk.load_model(model.save_pretrained(tmp_path / "m1"), ["heads.cls.head.num_classes=9"])
    assert source(loaded, "head.cls").fresh == ["classifier.weight", "classifier.bias"]
    assert source(loaded, "head.seg").fresh == []
    assert torch.equal(loaded.state_dict()["head.seg.queries.weight"], model.state_dict()["head.seg.queries.weight"])


def test_values_that_are_not_finite_are_reported(tmp_path):
    model = bk.build_model(maskformer(TIMM_RESNET))
    name, parameter = next((name, one) for name, one in model.named_parameters() if name.startswith("head."))
    with torch.no_grad():
        parameter.flatten()[0] = float("nan")
    model.save_pretrained(tmp_path / "ran_away")
    expected = f"1 tensor holds NaN or infinity in {tmp_path / 'ran_away'}: {name}"
    assert expected in bk.load_model(tmp_path / "ran_away").weight_report.notes
    # Also where only what still fits is kept.
    assert expected in bk.load_model(tmp_path / "ran_away", ["head.num_classes=9"]).weight_report.notes
    assert not any("NaN" in note for note in model.weight_report.notes)
