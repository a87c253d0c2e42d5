"""No argument is accepted without effect: each one of the functions and methods below has a probe here that shows a
change or a refusal. A new argument without a probe fails. Fields of configurations: see test_config_fields."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import backbonekit as bk
from backbonekit.contract.labels import Labels
from backbonekit.contract.results import ClassResult
from backbonekit.errors import ContractError, RecipeError, StorageError, WeightsError
from backbonekit.hf_models import model_kinds
from backbonekit.hf_models.backbone_classes import FamilyBackbone
from backbonekit.hf_models.whole_model import WholeModel
from tests.hf_models import small

ERRORS = (ContractError, RecipeError, StorageError, WeightsError)
IMAGES = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
Probe = Callable[[Path], Any]
Probes = dict[str, Probe]


class Refused:
    """What a call that is refused returns."""


def result(call: Callable[[], Any]) -> Any:
    """What a call returned, in a form that can be compared."""
    try:
        return plain(call())
    except ERRORS:
        return Refused.__name__


def plain(value: Any) -> Any:
    if isinstance(value, torch.nn.Module):
        kinds = {name: (str(each.dtype), str(each.device)) for name, each in value.named_parameters()}
        parameters = [(name, *kinds[name], *plain(each)) for name, each in value.named_parameters()]
        config = getattr(value, "config", None)
        return [parameters, None if config is None else json.dumps(config.to_dict(), default=str)]
    if isinstance(value, torch.Tensor):
        return [list(value.shape), value.detach().flatten()[:9].tolist() if not value.is_meta else "meta"]
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    if isinstance(value, dict) or hasattr(value, "keys"):
        return {str(name): plain(value[name]) for name in list(value)}
    if isinstance(value, Path):
        return sorted((file.name, file.stat().st_size) for file in value.glob("*")) if value.exists() else "nothing"
    if isinstance(value, Image.Image):
        return plain(torch.from_numpy(np.array(value)))
    return json.dumps(value.to_dict(), default=str) if hasattr(value, "to_dict") else repr(value)


SAVED = ("backbone", "timm", "model")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("saved")
    bk.ResNetBackbone(DETR, seed=5).save_pretrained(root / "backbone")
    bk.TimmBackbone(bk.TimmBackboneConfig("resnet18"), seed=5).save_pretrained(root / "timm")
    small.model().save_pretrained(root / "model")
    return root


# Values that are not the default, by the names of arguments; {} are filled in by the owner below.
LOADING: dict[str, Any] = {
    "revision": "v1",  # a folder has none
    "cache_dir": "/nowhere",
    "token": "secret",
    "local_files_only": True,
    "subfolder": "absent",
    "dtype": "float16",
    "torch_dtype": "float16",
    "device_map": "meta",
    "output_loading_info": True,
    "ignore_mismatched_sizes": True,
    "changes": {"return_dict": False},
}
# These concern the Hub: test_loading_options holds them against a cache and a client.
ON_THE_HUB = {
    "cache_dir": "test_another_cache_is_read_and_nothing_is_requested",
    "local_files_only": "test_another_cache_is_read_and_nothing_is_requested",
    "token": "test_the_token_reaches_the_client",
}


def _loads(owner: Any, name: str, **more: Any) -> dict[str, Probe]:
    def probe(argument: str, value: Any) -> Probe:
        options = value if argument == "changes" else {argument: value}
        return lambda folder: (
            lambda: owner.from_pretrained(folder / name),
            lambda: owner.from_pretrained(folder / name, **options),
        )

    known = {**LOADING, **more}
    return {argument: probe(argument, value) for argument, value in known.items() if argument not in ON_THE_HUB}


def _calls(make: Callable[[], Any], arguments: dict[str, Any], method: str = "__call__", *first: Any) -> Probes:
    """A probe for each argument of a method: without it, and with it."""

    def probe(argument: str, value: Any) -> Probe:
        def run(**options: Any) -> Any:
            made = make()
            returned = getattr(made, method)(*first, **options)
            return [returned, made] if method != "__call__" else returned

        return lambda _: (run, lambda: run(**{argument: value}))

    return {argument: probe(argument, value) for argument, value in arguments.items()}


DETR = bk.ResNetConfig(**small.RESNET)
OTHER_CONFIG = {"config": bk.ResNetConfig(**small.RESNET, return_dict=False)}
STATE = {"state_dict": {"x": torch.zeros(1)}}
STATES = {"output_hidden_states": True, "output_attentions": True, "return_dict": False}
HALF = torch.ones(1, 64, 64, dtype=torch.long).index_fill(2, torch.arange(20, 64), 0)
BOX = [{"class_labels": torch.tensor([1]), "boxes": torch.tensor([[0.5, 0.5, 0.2, 0.4]])}]
MASK = {"mask_labels": [torch.ones(1, 64, 64)], "class_labels": [torch.tensor([1])]}
RECOMPUTED = {"gradient_checkpointing_kwargs": {"use_reentrant": True}, "every_n_layers": 2, "offload": True}
DEPTH = torch.rand(1, 56, 56, generator=torch.Generator().manual_seed(0)) + 0.1
POINTS = torch.tensor([[[9.0, 9, 1], [9, 9, 1], [30, 9, 1]]])
NAMES = ("cat", "dog", "hen")
RECIPE = ["backbone=timm/resnet18", "backbone.pretrained=false"]


def _built(**options: Any) -> Any:
    return bk.build_model("fcn_resnet50", **{"overrides": RECIPE, **options})


def _predicted(**options: Any) -> Any:
    image = Image.fromarray((IMAGES[0].permute(1, 2, 0).clamp(0, 1) * 255).byte().numpy())
    found = bk.predict(small.masks().model, image, **{"task": "semantic", "threshold": 0.0, **options})[0]
    return [type(found).__name__, found.segmentation, found.to_dict() if hasattr(found, "to_dict") else ""]


def _drawn(**options: Any) -> Any:
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    found = ClassResult(torch.tensor([1, 0]), torch.tensor([0.75, 0.25]))
    return repr(np.array(bk.draw(image, found, **options)).tolist())


PROBES: dict[str, tuple[Any, dict[str, Probe]]] = {
    "AutoBackbone.from_pretrained": (
        bk.AutoBackbone.from_pretrained,
        _loads(bk.AutoBackbone, "backbone", use_timm_backbone=True, use_pretrained_backbone=False, **OTHER_CONFIG,
               backbone_kwargs={"norm": "final"}),
    ),
    "FamilyBackbone.from_pretrained": (
        FamilyBackbone.from_pretrained,
        _loads(bk.ResNetBackbone, "backbone", **OTHER_CONFIG, **STATE, backbone_kwargs={"norm": "final"}),
    ),
    "TimmBackbone.from_pretrained": (
        bk.TimmBackbone.from_pretrained,
        _loads(bk.TimmBackbone, "timm", config=bk.TimmBackboneConfig("resnet18", return_dict=False),
               use_pretrained_backbone=False, backbone_kwargs={"output_stride": 16}),
    ),
    "WholeModel.from_pretrained": (
        WholeModel.from_pretrained,
        {
            **_loads(bk.DetrForObjectDetection, "model", **STATE, num_labels=4, seed=1,
                     config=bk.DetrConfig(backbone_config=DETR, **small.DETR, num_labels=3, return_dict=False),
                     id2label=dict(enumerate(NAMES)), label2id={name: n for n, name in enumerate(NAMES)}),
            "ignore_mismatched_sizes": lambda folder: (
                lambda: bk.DetrForObjectDetection.from_pretrained(folder / "model", num_labels=4),
                lambda: bk.DetrForObjectDetection.from_pretrained(
                    folder / "model", num_labels=4, ignore_mismatched_sizes=True
                ),
            ),
            "seed": lambda folder: tuple(
                (lambda seed=seed: bk.DetrForObjectDetection.from_pretrained(
                    folder / "model", num_labels=4, ignore_mismatched_sizes=True, seed=seed
                ))
                for seed in (0, 1)
            ),
        },
    ),
    "AutoBackbone.from_config": (
        bk.AutoBackbone.from_config,
        _calls(lambda: bk.AutoBackbone, {
            "out_indices": [1, 2], "out_features": ["stage1"], "seed": 1, "dtype": "float16", "torch_dtype": "float16",
            "attn_implementation": "eager", "backbone_kwargs": {"norm": "final"},
        }, "from_config", DETR),
    ),
    "ResNetBackbone": (
        bk.ResNetBackbone,
        {argument: (lambda _, options=options: (
            lambda: bk.ResNetBackbone(DETR), lambda: bk.ResNetBackbone(DETR, **options)))
         for argument, options in {
             "seed": {"seed": 1}, "backbone_kwargs": {"backbone_kwargs": {"norm": "no"}}}.items()},
    ),
    "TimmBackbone": (
        bk.TimmBackbone,
        {"seed": lambda _: tuple(
            (lambda seed=seed: bk.TimmBackbone(bk.TimmBackboneConfig("resnet18"), seed=seed)) for seed in (0, 1))},
    ),
    "DetrForObjectDetection": (
        bk.DetrForObjectDetection,
        {"seed": lambda _: tuple(
            (lambda seed=seed: bk.DetrForObjectDetection(small.model().config.copy(), seed=seed)) for seed in (0, 1))},
    ),
    "BackboneMixin.forward": (
        bk.BackboneMixin.forward,
        _calls(small.dinov2, STATES, "__call__", IMAGES[..., :56, :56]),
    ),
    "DetrModel.forward": (
        model_kinds.DetrModel.forward,
        _calls(small.model, {**STATES, "pixel_mask": HALF, "labels": BOX, **dict.fromkeys(
            ("decoder_attention_mask", "encoder_outputs", "inputs_embeds", "decoder_inputs_embeds"), IMAGES)},
            "__call__", IMAGES),
    ),
    "MaskModel.forward": (
        model_kinds.MaskModel.forward,
        {**_calls(small.masks, {**STATES, "pixel_mask": HALF, "output_auxiliary_logits": True}, "__call__", IMAGES),
         **{name: (lambda _, name=name: (lambda: small.masks()(IMAGES, **MASK),
                                         lambda: small.masks()(IMAGES, **{**MASK, name: None}))) for name in MASK}},
    ),
    "DenseModel.forward": (
        model_kinds.DenseModel.forward,
        _calls(small.dense, {"output_hidden_states": True, "return_dict": False, "labels": HALF, "pixel_mask": HALF},
               "__call__", IMAGES),
    ),
    "DepthModel.forward": (
        model_kinds.DepthModel.forward,
        {**_calls(small.depth, {**STATES, "labels": DEPTH}, "__call__", IMAGES[..., :56, :56]),
         "pixel_mask": lambda _: tuple(
             (lambda mask=mask: small.depth()(IMAGES[..., :56, :56], DEPTH, pixel_mask=mask))
             for mask in (None, HALF[:, :56, :56]))},
    ),
    "PoseModel.forward": (
        model_kinds.PoseModel.forward,
        {**_calls(small.pose, {**STATES, "labels": POINTS, "dataset_index": torch.tensor([0]),
                               "flip_pairs": torch.tensor([[1, 2]])}, "__call__", IMAGES[..., :48]),
         "pixel_mask": lambda _: tuple(
             (lambda mask=mask: small.pose()(IMAGES[..., :48], labels=POINTS, pixel_mask=mask))
             for mask in (None, HALF[..., :48]))},
    ),
    "gradient_checkpointing_enable": (
        bk.ResNetBackbone.gradient_checkpointing_enable,
        _calls(small.backbone, RECOMPUTED, "gradient_checkpointing_enable"),
    ),
    "num_parameters": (
        bk.ResNetBackbone.num_parameters,
        {"only_trainable": lambda _: (lambda: _frozen().num_parameters(), lambda: _frozen().num_parameters(True)),
         "exclude_embeddings": lambda _: tuple(
             (lambda leave=leave: small.model().num_parameters(exclude_embeddings=leave)) for leave in (False, True))},
    ),
    "save_pretrained": (
        bk.ResNetBackbone.save_pretrained,
        {argument: (lambda folder, options=options: (
            lambda: small.backbone().save_pretrained(folder / "new"),
            lambda: small.backbone().save_pretrained(folder / str(options), **options)))
         for argument, options in {
             "is_main_process": {"is_main_process": False}, "state_dict": {"state_dict": {}},
             "push_to_hub": {"push_to_hub": True}, "max_shard_size": {"max_shard_size": "10KB"},
             "safe_serialization": {"safe_serialization": False}}.items()},
    ),
    "to_json_string": (bk.ResNetConfig.to_json_string, _calls(lambda: DETR, {"use_diff": False}, "to_json_string")),
    "build_model": (
        bk.build_model,
        {argument: (lambda _, options=options: (_built, lambda: _built(**options))) for argument, options in {
            "overrides": {"overrides": [*RECIPE, "head.num_classes=7"]}, "seed": {"seed": 1},
            "config_dir": {"config_dir": "/nowhere"}, "device": {"device": "meta"},
            "dtype": {"dtype": "float16"}}.items()},
    ),
    "load_model": (
        bk.load_model,
        {argument: (lambda folder, options=options: (
            lambda: bk.load_model(folder / "model", ["head.num_queries=9"]),
            lambda: bk.load_model(folder / "model", **{"overrides": ["head.num_queries=9"], **options})))
         for argument, options in {
             "overrides": {"overrides": ["head.num_queries=8"]}, "revision": {"revision": "v1"}, "seed": {"seed": 1},
             "device": {"device": "meta"}, "dtype": {"dtype": "float16"}}.items()},
    ),
    "predict": (
        bk.predict,
        {argument: (lambda _, options=options: (_predicted, lambda: _predicted(**options))) for argument, options in {
            "boxes": {"boxes": [[0, 0, 9, 9]]}, "task": {"task": "panoptic"}, "batch_size": {"batch_size": 0},
        }.items()},
    ),
    "draw": (
        bk.draw,
        {argument: (lambda _, options=options: (_drawn, lambda: _drawn(**options))) for argument, options in {
            "labels": {"labels": Labels(NAMES)}, "bands": {"bands": [2, 1, 0]}, "threshold": {"threshold": 0.5},
            "stamp": {"stamp": "random weights"},
        }.items()},
    ),
    "VitPoseBackbone.forward": (
        bk.VitPoseBackbone.forward,
        _calls(lambda: bk.VitPoseBackbone(small.pose().config.backbone_config.copy()),
               {**STATES, "dataset_index": torch.tensor([0])}, "__call__", IMAGES[..., :48]),
    ),
    "post_process_semantic_segmentation": (
        bk.AutoImageProcessor.post_process_semantic_segmentation,
        _calls(lambda: bk.AutoImageProcessor.from_dict({"image_processor_type": "SegformerImageProcessor"}),
               {"target_sizes": [(9, 8)], "return_segmentation_scores": True}, "post_process_semantic_segmentation",
               {"logits": IMAGES}),
    ),
}  # fmt: skip
# Arguments with tests of their own: those that need a Hub, pixels outside what a small random model finds, or a screen.
ELSEWHERE = {
    **{(f"{owner}.from_pretrained", argument): ("hf_models/test_loading_options.py", test)
       for owner in ("AutoBackbone", "FamilyBackbone", "TimmBackbone", "WholeModel")
       for argument, test in ON_THE_HUB.items()},
    ("predict", "threshold"): ("postprocessing", "threshold="),
    ("predict", "top_k"): ("postprocessing", "top_k="),
    ("predict", "progress"): ("assembly/test_predicting.py", "progress="),
    **{("predict", name): ("assembly/test_tiles.py", f"{name}=") for name in ("tile", "overlap", "augment")},
    ("DenseModel.forward", "output_attentions"): ("hf_models/test_calls.py", "output_attentions=True"),
    ("load_model", "merge_adapter"): ("assembly/test_adapters.py", "merge_adapter"),
    ("load_model", "token"): ("assembly/test_load_from_hub.py", "token="),
    ("draw", "num_names"): ("visualization/test_legend_and_stamp.py", "num_names="),
    ("draw", "legend"): ("visualization/test_legend_and_stamp.py", "legend="),
    ("load_model", "locked"): ("hub/test_lock.py", "locked=True"),
}  # fmt: skip
FIRST = (
    *("self", "pretrained_model_name_or_path", "pixel_values", "model", "image", "images", "result", "outputs"),
    *("where", "save_directory"),
)


def _frozen() -> bk.ResNetBackbone:
    made = small.backbone()
    next(made.parameters()).requires_grad_(False)
    return made


def _arguments(owner: str) -> set[str]:
    names = set(inspect.signature(PROBES[owner][0]).parameters)
    first = (*FIRST, "config") if owner.endswith(("from_config", "Backbone", "Detection")) else FIRST
    return names - set(first)


@pytest.mark.parametrize("owner", PROBES)
def test_every_argument_has_a_probe(owner: str) -> None:
    elsewhere = {argument for other, argument in ELSEWHERE if other == owner}
    assert _arguments(owner) == set(PROBES[owner][1]) | elsewhere


@pytest.mark.parametrize(("owner", "argument"), [(owner, one) for owner in PROBES for one in PROBES[owner][1]])
def test_an_argument_changes_something_or_is_refused(owner: str, argument: str, folder: Path) -> None:
    without, given = PROBES[owner][1][argument](folder)
    assert result(given) != result(without)


@pytest.mark.parametrize(("argument", "place"), ELSEWHERE.items())
def test_probes_of_other_files_exist(argument, place) -> None:
    where, mark = Path(__file__).parents[1] / place[0], place[1]
    files = [where] if where.is_file() else list(where.glob("test_*.py"))
    assert any(mark in file.read_text(encoding="utf-8") for file in files)
