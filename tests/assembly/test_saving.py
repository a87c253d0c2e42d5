"""What is saved can be opened again, replaces nothing without permission, and says what was never trained."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

import backbonekit as bk
from backbonekit.cli.verbs import run_verb
from backbonekit.errors import StorageError, WeightsError
from backbonekit.hub.saved_model import read_recipe

TINY = {"backbone": "timm/resnet10t", "head": {"name": "classification", "num_classes": 3}}
DENSE = {"backbone": "timm/resnet10t", "head": {"name": "fcn", "num_classes": 3, "channels": 8}}
ALL_RANDOM = {"backbone.*": "random, seed 0", "head.*": "random, seed 0"}


class Low(nn.Module):
    """A linear layer with a low-rank addition, in the names of peft."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base_layer = base
        self.lora_A = nn.Linear(base.in_features, 2, bias=False)
        self.lora_B = nn.Linear(2, base.out_features, bias=False)


def replace_classifier(model):
    model.head.classifier = nn.Linear(model.head.classifier.in_features, 5)


def replace_stem(model):
    stem = model.backbone.body.conv1[0]
    model.backbone.body.conv1[0] = nn.Conv2d(6, stem.out_channels, 3, stride=2, padding=1, bias=False)


def normalise_weight(model):
    weight_norm(model.head.classifier)


def inject_adapter(model):
    model.head.classifier = Low(model.head.classifier)


def quantise(model):
    model.head.classifier.weight = nn.Parameter(model.head.classifier.weight.to(torch.int8), requires_grad=False)


@pytest.mark.parametrize(
    ("change", "fix"),
    [
        (replace_classifier, "The fix: head.num_classes=5 builds it so"),
        (replace_stem, "The fix: backbone.in_channels=6 builds it so"),
        (normalise_weight, "remove_parametrizations"),
        (inject_adapter, "merge the adapter first"),
        (quantise, "head.classifier.weight has the type int8, not float32"),
    ],
)
def test_a_module_that_was_changed_by_hand_is_refused_with_the_fix(tmp_path, change, fix):
    model = bk.build_model(TINY)
    change(model)
    with pytest.raises(WeightsError, match="could not be opened again") as caught:
        model.save_pretrained(tmp_path / "m")
    assert fix in str(caught.value)
    assert not (tmp_path / "m").exists()


def test_the_fix_that_is_offered_opens_the_weights(tmp_path):
    model = bk.build_model(TINY)
    replace_classifier(model)
    fixed = bk.build_model(TINY, ["head.num_classes=5"])
    fixed.load_state_dict(model.state_dict())
    fixed.save_pretrained(tmp_path / "m")
    assert torch.equal(bk.load_model(tmp_path / "m").head.classifier.weight, model.head.classifier.weight)


def test_names_of_hugging_face_refuse_as_well(tmp_path):
    model = bk.DetrForObjectDetection(bk.DetrConfig(backbone="resnet10t", use_timm_backbone=True, decoder_layers=1))
    model.model.head.class_predictor = nn.Linear(model.model.head.class_predictor.in_features, 4)
    with pytest.raises(WeightsError, match="could not be opened again"):
        model.save_pretrained(tmp_path / "m")
    backbone = bk.ResNetBackbone(bk.ResNetConfig(depths=[1, 1, 1, 1], hidden_sizes=[8, 8, 8, 8]))
    backbone.save_pretrained(tmp_path / "b")
    backbone.save_pretrained(tmp_path / "b")  # replaced, as in transformers
    first = next(name for name, module in backbone.backbone.named_modules() if isinstance(module, nn.Conv2d))
    weight_norm(backbone.backbone.get_submodule(first))
    with pytest.raises(WeightsError, match="is not what its configuration builds"):
        backbone.save_pretrained(tmp_path / "c")


def test_a_cast_and_a_step_of_training_are_no_change_of_modules(tmp_path):
    model = bk.build_model(TINY).to(torch.bfloat16)
    model.save_pretrained(tmp_path / "m")
    assert read_recipe(tmp_path / "m" / "recipe.yaml")[1].random == ALL_RANDOM


def test_another_model_is_not_replaced_unasked(tmp_path):
    first = bk.build_model(TINY)
    first.save_pretrained(tmp_path / "m")
    first.save_pretrained(tmp_path / "m")  # an older save of the same model
    other = bk.build_model(DENSE)
    with pytest.raises(StorageError, match="holds another model"):
        other.save_pretrained(tmp_path / "m")
    with pytest.raises(StorageError, match="holds another model"):
        first.save_pretrained(tmp_path / "m", overwrite=False)
    assert bk.load_model(tmp_path / "m").recipe == first.recipe
    other.save_pretrained(tmp_path / "m", overwrite=True)
    assert bk.load_model(tmp_path / "m").recipe == other.recipe


def test_the_command_line_replaces_only_with_overwrite(tmp_path, capsys):
    words = ["backbone=timm/resnet10t", f"save={tmp_path / 'm'}"]
    assert run_verb("build", words) == 0
    assert run_verb("build", words) == 2
    assert "overwrite=true" in capsys.readouterr().err
    assert run_verb("build", [*words, "overwrite=true"]) == 0
    assert run_verb("build", [*words, "overwrite=yes"]) == 2


def test_what_was_never_trained_says_so_after_saving_and_opening(tmp_path, capsys):
    bk.build_model(TINY).save_pretrained(tmp_path / "m")
    text = (tmp_path / "m" / "recipe.yaml").read_text()
    assert "\n  trained: false\n" in text
    opened = bk.load_model(tmp_path / "m")
    assert opened.weight_report.pretrained_share == 0
    assert [source.origin for source in opened.weight_report.sources] == ["random, seed 0", "random, seed 0"]
    opened.save_pretrained(tmp_path / "again")
    assert read_recipe(tmp_path / "again" / "recipe.yaml")[1].random == ALL_RANDOM
    assert run_verb("build", [f"recipe={tmp_path / 'm'}"]) == 0
    out = capsys.readouterr().out
    assert "weights: all random, seed 0" in out
    assert "100% of the parameters from a checkpoint" not in out


def test_prediction_with_weights_that_were_never_trained_is_warned_of(tmp_path, capsys):
    from PIL import Image

    bk.build_model(TINY).save_pretrained(tmp_path / "m")
    Image.new("RGB", (32, 32)).save(tmp_path / "image.png")
    assert run_verb("predict", [f"recipe={tmp_path / 'm'}", f"image={tmp_path / 'image.png'}"]) == 0
    assert "all weights are random" in capsys.readouterr().err


def test_training_ends_it(tmp_path):
    model = bk.build_model(TINY).train()
    assert model.weights_warning == "random weights"
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    model(torch.randn(2, 3, 32, 32), targets=[{"class": torch.tensor(0)}, {"class": torch.tensor(1)}]).loss.backward()
    optimizer.step()
    assert model.weights_warning is None
    model.save_pretrained(tmp_path / "m")
    manifest = read_recipe(tmp_path / "m" / "recipe.yaml")[1]
    assert (manifest.is_trained, manifest.random) == (True, {})
    assert "random, seed 0, then trained" in (tmp_path / "m" / "README.md").read_text()
    assert bk.load_model(tmp_path / "m").weight_report.pretrained_share == 1


def test_a_new_head_on_trained_weights_is_the_part_that_is_random(tmp_path):
    model = bk.build_model(DENSE)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1e-3)
    model.save_pretrained(tmp_path / "m")
    changed = bk.load_model(tmp_path / "m", ["head.num_classes=7"])
    assert changed.weights_warning == f"{1 - changed.weight_report.pretrained_share:.1%} random weights"
    changed.save_pretrained(tmp_path / "n")
    manifest = read_recipe(tmp_path / "n" / "recipe.yaml")[1]
    assert manifest.is_trained
    new = [f"head.{name}" for name, parameter in changed.head.named_parameters() if parameter.shape[0] == 7]
    assert len(new) == 2
    assert list(manifest.random) == new
    opened = bk.load_model(tmp_path / "n").weight_report
    assert 0.9 < opened.pretrained_share < 1
    assert [f"head.{name}" for name in opened.sources[-1].fresh] == new
    whole = bk.build_model(TINY, ["head.num_classes=5"])
    whole.save_pretrained(tmp_path / "o")
    swapped = bk.load_model(tmp_path / "o", ["head.num_classes=4"])  # all of this head is of another shape
    assert list(swapped.weight_report.random) == ["backbone.*", "head.*"]
    assert swapped.weight_report.is_random


def test_a_folder_of_images_is_not_drawn_into_the_name_of_an_image(tmp_path, capsys):
    from PIL import Image

    (tmp_path / "in").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "in" / "a.png")
    words = ["backbone=timm/resnet10t", f"image={tmp_path / 'in'}", f"output={tmp_path / 'one.png'}"]
    assert run_verb("predict", words) == 2
    assert "is the name of one image" in capsys.readouterr().err
