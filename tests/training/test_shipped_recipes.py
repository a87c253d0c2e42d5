"""The training contract over every shipped recipe: advice, freezing, parameter groups, gradient checkpointing.

What needs no numbers is built on the meta device, where a model of any size costs no memory.
"""

import copy
import re
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import pytest
import torch
from torch import nn

import backbonekit as bk
from backbonekit.recipe.compose import compose_recipe, model_names
from tests.fixed_weights import randomise_weights

NAMES = model_names()
ADVISED = [name for name in NAMES if compose_recipe(name).training]
DETECTRON = {"freeze": {"stages": 2, "norms": True}}  # stem and first stage, and all batch norms
NORMS = {"freeze": {"stages": 0, "norms": True}}
# What the papers' own configurations freeze. Whatever is not here trains everything.
PUBLISHED = {
    "deformable_detr_resnet50": DETECTRON,
    "deformable_detr_two_stage_resnet50": DETECTRON,
    "detr_resnet50": DETECTRON,
    "faster_rcnn_resnet50_fpn": DETECTRON,
    "fcos_resnet50_fpn": DETECTRON,
    "linear_probe_dinov2_small": {"freeze": {"stages": 13, "norms": True}},  # patch embedding and twelve blocks
    "mask2former_resnet50": NORMS,  # FREEZE_AT 0, and Detectron2's frozen norms
    "mask2former_swin_tiny": NORMS,
    "mask_rcnn_resnet50_fpn": DETECTRON,
    "maskformer_dinov2_small": NORMS,
    "maskformer_resnet50": NORMS,
    "maskformer_swin_tiny": NORMS,
    "retinanet_resnet50_fpn": DETECTRON,
    "rtdetr_v2_resnet50": {"freeze": {"stages": 1, "norms": True}},  # freeze_at 0 counts from the stem
}
WITHOUT_EFFECT = ("mask2former_swin_tiny", "maskformer_dinov2_small", "maskformer_swin_tiny")  # no norm has statistics
# And those of which the papers say that nothing is frozen, though their families freeze.
TRAINED_WHOLE = ("dfine_nano", "dfine_small", "dfine_medium", "fcos_digits", "maskformer_digits", "rtdetr_v2_resnet18")


@cache
def on_meta(name: str) -> nn.Module:
    with torch.device("meta"):
        return bk.build_model(name)


def fresh(name: str) -> nn.Module:
    return copy.deepcopy(on_meta(name))


def batch_norms(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """Everything with running statistics."""
    return [(name, one) for name, one in module.named_modules() if hasattr(one, "running_mean")]


def unused(model: nn.Module) -> list[str]:
    """Norms of maps that are not selected: they are kept for `out_indices` set later, and train nothing."""
    chosen = {level.name for level in model.backbone.features.levels}
    names = [key for key, _ in model.named_parameters()]
    return [key for key in names if key.startswith("backbone.norms.") and key.split(".")[2] not in chosen]


@pytest.mark.parametrize("name", NAMES)
def test_the_advice_is_what_the_paper_freezes(name: str) -> None:
    expected = {} if name in TRAINED_WHOLE else PUBLISHED.get(name, {})
    assert compose_recipe(name).training == expected


@pytest.mark.parametrize("name", ADVISED)
def test_training_advice_is_followed_only_on_request(name: str) -> None:
    model = fresh(name).train()
    assert [key for key, parameter in model.named_parameters() if not parameter.requires_grad] == unused(model)
    assert all(module.training for module in model.modules())


def test_a_folder_with_advice_opens_unfrozen(tmp_path) -> None:
    tiny = [
        "backbone=timm/resnet10t",
        "head.num_layers=1",
        "neck.num_layers=1",
        "neck.channels=16",
        "neck.feedforward_channels=16",
    ]
    model = bk.build_model("detr_resnet50", [*tiny, "head.feedforward_channels=16"])
    bk.freeze(model, **model.recipe.training["freeze"])
    assert not all(parameter.requires_grad for parameter in model.parameters())
    model.save_pretrained(tmp_path)
    opened = bk.load_model(tmp_path).train()
    assert opened.recipe.training == DETECTRON
    assert all(parameter.requires_grad for parameter in opened.parameters())
    assert all(module.training for module in opened.modules())


@pytest.mark.parametrize("name", ADVISED)
def test_following_the_advice_stops_what_it_names_and_nothing_else(name: str) -> None:
    model = fresh(name)
    advice = model.recipe.training["freeze"]
    bk.freeze(model, **advice)
    model.train()
    order = model.backbone.parameter_stages()
    stages = order.positions
    assert advice["stages"] <= order.count
    norms = dict(batch_norms(model.backbone)) if advice["norms"] else {}
    idle = unused(model)
    for key, parameter in model.backbone.named_parameters():
        is_frozen = stages[key] < advice["stages"] or key.rpartition(".")[0] in norms or f"backbone.{key}" in idle
        assert parameter.requires_grad != is_frozen, key
    assert all(not module.training for module in norms.values())
    rest = [(key, one) for key, one in model.named_parameters() if not key.startswith("backbone.")]
    assert all(parameter.requires_grad for _, parameter in rest)
    assert all(module.training for part in (model.neck, model.head) for module in part.modules())


def first_of_each(names: Sequence[str], *, with_advice: bool) -> list[str]:
    """One recipe for each backbone (and advice), where more would show nothing more."""
    found: dict[tuple[str, ...], str] = {}
    for name in names:
        recipe = compose_recipe(name)
        backbone = recipe.backbone
        advice = repr(recipe.training) if with_advice else ""
        found.setdefault((str(backbone.name), repr(backbone.config), repr(backbone.args), advice), name)
    return list(found.values())


@pytest.mark.parametrize(
    "name", [name for name in first_of_each(ADVISED, with_advice=True) if name not in WITHOUT_EFFECT]
)
def test_a_step_of_the_optimiser_moves_what_is_not_frozen(name: str) -> None:
    whole = on_meta(name)
    advice = whole.recipe.training["freeze"]
    # Without what stands on the backbone, which freezing does not touch: the maps are what is trained.
    indices = f"backbone.out_indices={list(whole.recipe.backbone.out_indices)}"
    backbone = randomise_weights(bk.build_model(whole.recipe, ["head=null", "neck=null", indices])).backbone
    bk.freeze(backbone, **advice)
    backbone.train()
    stages = backbone.parameter_stages().positions
    norms = dict(batch_norms(backbone))
    before = copy.deepcopy(backbone.state_dict())
    trained = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    maps = backbone(torch.randn(2, 3, 56, 56)).maps
    if trained:  # a linear probe trains none of it
        sum(level.square().mean() for level in maps).backward()
        torch.optim.SGD(trained, lr=0.1).step()
    for key, value in backbone.state_dict().items():
        is_norm = key.rpartition(".")[0] in norms
        if stages[key] < advice["stages"] or (is_norm and advice["norms"]):
            assert torch.equal(value, before[key]), key
        else:
            assert not torch.equal(value, before[key]), key
    if norms and advice["norms"]:
        assert all(not module.training for module in norms.values())


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_in_one_group_and_layers_learn_faster_towards_the_head(name: str) -> None:
    model = on_meta(name)
    groups = bk.parameter_groups(model, lr=1.0, weight_decay=0.05, layer_decay=0.8)
    listed = [id(parameter) for group in groups for parameter in group["params"]]
    assert len(listed) == len(set(listed))
    idle = unused(model)
    assert set(listed) == {id(parameter) for key, parameter in model.named_parameters() if key not in idle}

    names = {id(parameter): key for key, parameter in model.named_parameters()}
    by_layer: dict[int, set[float]] = {}
    for group in groups:
        layer = re.match(r"backbone layer (\d+)", group["name"])
        keys = [names[id(parameter)] for parameter in group["params"]]
        if layer is None:
            assert group["lr"] == 1.0
            assert not any(key.startswith("backbone.") for key in keys)
        else:
            by_layer.setdefault(int(layer.group(1)), set()).add(group["lr"])
            assert all(key.startswith("backbone.") for key in keys)
    assert all(len(rates) == 1 for rates in by_layer.values())
    rates = [next(iter(by_layer[layer])) for layer in sorted(by_layer)]
    assert min(by_layer) == 0
    assert len(rates) >= 3, "a stem and the stages or blocks"
    assert all(0 < earlier < later <= 1.0 for earlier, later in pairwise(rates))


NORM_KINDS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)


@pytest.mark.parametrize("name", NAMES)
def test_norms_biases_and_tables_do_not_decay_and_matrices_do(name: str) -> None:
    model = on_meta(name)
    groups = bk.parameter_groups(model, lr=1.0, weight_decay=0.05)
    decays = {id(parameter) for group in groups for parameter in group["params"] if group["weight_decay"] > 0}
    for prefix, module in model.named_modules():
        own = module.named_parameters(prefix, recurse=False)
        for key, parameter in own:
            if isinstance(module, (*NORM_KINDS, nn.Embedding)) or key.endswith(".bias"):
                assert id(parameter) not in decays, key
            elif isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                assert id(parameter) in decays, key
            elif re.search(r"pos_embed|cls_token|reg_token|register|relative_position_bias_table", key):
                assert id(parameter) not in decays, key


def kept_on_meta(model: nn.Module) -> int:
    """How many numbers backward keeps besides the weights."""
    weights = {id(parameter) for parameter in model.parameters()}
    size = model.processor.processing.size or (112, 112)
    kept: list[int] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in weights:
            kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.backbone(torch.empty(2, 3, *size, device="meta"))
    return sum(kept)


@pytest.mark.slow
@pytest.mark.parametrize("name", first_of_each(NAMES, with_advice=False))
def test_every_backbone_keeps_less_where_blocks_are_recomputed(name: str) -> None:
    model = fresh(name).train()
    kept = kept_on_meta(model)
    bk.gradient_checkpointing(model)
    assert kept_on_meta(model) < 0.9 * kept
    bk.gradient_checkpointing(model, enabled=False)
    assert kept_on_meta(model) == kept


TINY = {
    "convolutional": ("fcn_resnet50", ["backbone=timm/resnet26", "labels=null", "head.num_classes=3"]),
    "shifted windows": (
        "upernet_swin_tiny",
        ["head.channels=16", "head.num_classes=3", "backbone.args={drop_path_rate: 0.0}"],
    ),
    "transformer": ("linear_probe_dinov2_small", ["head.num_classes=3"]),
}


def step(model: nn.Module, pixels: torch.Tensor, labels: torch.Tensor) -> tuple[float, dict[str, torch.Tensor], int]:
    """Loss, gradients, and how many bytes backward keeps besides the weights."""
    model.zero_grad()
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model(pixels, targets=[{"segmentation": one} for one in labels]).loss
        bytes_kept = sum(kept.values())
    loss.backward()
    return loss.item(), {key: one.grad for key, one in model.named_parameters() if one.grad is not None}, bytes_kept


@pytest.mark.parametrize("shape", TINY)
def test_recomputed_blocks_keep_less_and_give_the_same_loss_and_gradients(shape: str) -> None:
    name, overrides = TINY[shape]
    model = randomise_weights(bk.build_model(name, overrides)).train()
    for module in model.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0  # drawn anew each time
        if "drop_prob" in vars(module):
            module.drop_prob = 0.0
    pixels, labels = torch.randn(2, 3, 70, 84), torch.randint(0, 3, (2, 70, 84))
    twin = copy.deepcopy(model)  # running statistics move in each step
    bk.gradient_checkpointing(twin)
    loss, gradients, kept = step(model, pixels, labels)
    same_loss, same_gradients, kept_less = step(twin, pixels, labels)
    assert same_loss == pytest.approx(loss, rel=1e-5)
    assert same_gradients.keys() == gradients.keys()
    largest = max(gradient.abs().max() for gradient in gradients.values())
    for key, gradient in gradients.items():
        torch.testing.assert_close(same_gradients[key], gradient, rtol=1e-3, atol=float(largest) * 1e-6, msg=key)
    assert kept_less < 0.75 * kept
