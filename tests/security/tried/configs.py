"""Configurations of others: preprocessor_config.json, config.json of a backbone or of a whole model, timm's own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import backbonekit as bk
from backbonekit.backbones.timm.blueprint import blueprint as timm_blueprint
from backbonekit.image_processing.preprocessor_config import read_processing
from backbonekit.weights import budget
from tests.security.tried.harness import Attack

FREE = 150_000_000  # bytes: the same answer on every machine

LONG = "x" * 10**7
DIGITS = 10**4_299  # as many digits as Python converts
HUGE = 10**400
DEEP = json.loads("[" * 400 + "]" * 400)
UNKNOWN = {f"depth{number}": 1 for number in range(100_000)}
MANY = [1_000] * 4


def _processor(**fields: Any) -> Attack:
    return lambda folder: lambda: read_processing({"image_processor_type": "ConvNextImageProcessor", **fields})


def _config(source: str, model_type: Any, **fields: Any) -> Attack:
    config = {"model_type": model_type, **fields}
    return lambda folder: lambda: bk.build_model({"backbone": {"source": source, "config": config}}, device="meta")


def _file(use: Callable[[Path], Any], **fields: Any) -> Attack:
    def prepare(folder: Path) -> Callable[[], Any]:
        (folder / "config.json").write_text(json.dumps(fields))
        return lambda: use(folder)

    return prepare


def _named(source: str) -> Callable[[Path], Any]:
    return lambda folder: bk.build_model({"backbone": {"source": source, "name": str(folder)}})


def _timm(**fields: Any) -> Attack:
    def build(folder: Path) -> Any:
        return timm_blueprint(str(folder), config=None, revision=None, in_channels=3, args={}).processing

    return _file(build, **{"architecture": "resnet18", "num_classes": 10, **fields})


def _class(name: str, **fields: Any) -> Attack:
    return lambda folder: lambda: getattr(bk, name).from_dict(fields)


def _whole(name: str, **fields: Any) -> Attack:
    def build() -> Any:
        return getattr(bk, name)(getattr(bk, f"{name.partition('For')[0]}Config").from_dict(fields))

    return lambda folder: build


def _each(name: str, make: Callable[..., Attack], model_type: str, **fields: Any) -> dict[str, Attack]:
    """A configuration by every way that one can be given."""
    return {
        f"hf config: {name}": _config("hf", model_type, **fields),
        f"transformers config: {name}": _config("transformers", model_type, **fields),
        f"hf folder: {name}": _file(_named("hf"), model_type=model_type, **fields),
        f"transformers folder: {name}": _file(_named("transformers"), model_type=model_type, **fields),
        f"AutoBackbone: {name}": _file(bk.AutoBackbone.from_pretrained, model_type=model_type, **fields),
        f"load_model: {name}": _file(bk.load_model, model_type=model_type, **fields),
    }


PROCESSORS: dict[str, Attack] = {
    "resample=[3]": _processor(resample=[3]),
    "resample={}": _processor(resample={"a": 1}),
    "crop_pct=5e-324": _processor(crop_pct=5e-324, size={"shortest_edge": 224}),
    "crop_pct=10**400": _processor(crop_pct=HUGE, size={"shortest_edge": 224}),
    "size of 100,000 keys": _processor(size=UNKNOWN),
    "100,000 unknown keys": _processor(**UNKNOWN),
    "mean of 100,000": _processor(image_mean=[0.5] * 100_000),
    "mean=10**400": _processor(image_mean=[HUGE] * 3),
    "rescale_factor=10**4299": _processor(rescale_factor=DIGITS),
    "size=10**4299": _processor(size=DIGITS),
    "a type of 10 MB": _processor(image_processor_type=LONG),
    "a deep size": _processor(size=DEEP),
}
CONFIGS: dict[str, Attack] = {
    **_each("100,000 unknown words", _config, "resnet", **UNKNOWN),
    **_each("a model_type of 10 MB", _config, LONG),
    **_each("a model_type that is a list", _config, ["resnet"]),  # type: ignore[arg-type]
    **_each("4,300 digits", _config, "resnet", embedding_size=DIGITS),
    **_each("10**400", _config, "swin", layer_norm_eps=HUGE),
    **_each("nested deeply", _config, "resnet", depths=DEEP),
    **_each("NaN", _config, "convnext", layer_norm_eps=float("nan")),
    **_each("1,000 layers a stage", _config, "swin", depths=MANY),
    **_each("1,000 layers a stage of pvt_v2", _config, "pvt_v2", depths=MANY),
    **_each("1,000 layers a stage of hiera", _config, "hiera", depths=MANY),
    **_each("1,000 levels of focus", _config, "focalnet", focal_levels=MANY),
    **_each("images of 16,000 pixels", _config, "beit", image_size=16_000),
    **_each("windows of 10,000 patches", _config, "swinv2", window_size=10_000),
    **_each("16,384 channels", _config, "convnext", hidden_sizes=[16_384] * 4),
    **_each("code of its own", _config, "resnet", auto_map={"AutoBackbone": "evil--mod.Model"}, trust_remote_code=True),
    **_each("quantization", _config, "resnet", quantization_config={"quant_method": "bitsandbytes"}),
    "textnet": _config("transformers", "textnet"),
}
WHOLE: dict[str, Attack] = {
    "DETR: 100,000 unknown words": _class("DetrConfig", **UNKNOWN),
    "DETR: dropout of 10**400": _class("DetrConfig", dropout=HUGE),
    "UperNet: weight of 10**400": _class("UperNetConfig", auxiliary_loss_weight=HUGE),
    "Deformable DETR: 1,000,000 levels": _class("DeformableDetrConfig", num_feature_levels=10**6),
    "DETR: 16,384 channels": _whole("DetrForObjectDetection", d_model=16_384, use_timm_backbone=False),
    "DETR: 200 layers": _whole("DetrForObjectDetection", encoder_layers=200, decoder_layers=200),
    "UperNet: 16,384 channels": _whole("UperNetForSemanticSegmentation", hidden_size=16_384),
    "load_model: DETR of 100,000 unknown words": _file(
        bk.load_model, model_type="detr", architectures=["DetrForObjectDetection"], **UNKNOWN
    ),
    "load_model: an architecture of 10 MB": _file(bk.load_model, model_type="detr", architectures=[LONG]),
    "load_model: 100,000 labels": _file(
        bk.load_model,
        model_type="detr",
        architectures=["DetrForObjectDetection"],
        id2label={str(number): f"class {number}" for number in range(100_000)},
    ),
}
TIMM: dict[str, Attack] = {
    "timm: classes as text": _timm(num_classes="many"),
    "timm: classes of the weights as text": _timm(pretrained_cfg={"num_classes": "many"}),
    "timm: 10**9 layers": _timm(model_args={"layers": [10**9] * 4}),
    "timm: 10**6 layers": _timm(model_args={"layers": [10**6] * 4}),
    "timm: 60,000 layers": _timm(model_args={"layers": [60_000] * 4}),
    "timm: deep arguments": _timm(model_args={"layers": DEEP}),
    "timm: a deep configuration": _timm(pretrained_cfg={"mean": DEEP}),
    "timm: an architecture of 10 MB": _timm(architecture=LONG),
    "timm: an architecture that is a list": _timm(architecture=["resnet18"]),
    "timm: 100,000 unknown arguments": _timm(model_args=UNKNOWN),
    "timm: 100,000 unknown words": _timm(pretrained_cfg=UNKNOWN),
    "timm: a size of 10**400": _timm(pretrained_cfg={"input_size": [3, HUGE, HUGE]}),
    "timm: a crop of 5e-324": _timm(pretrained_cfg={"crop_pct": 5e-324}),
}


def prepare() -> None:
    """Imports what is not to be measured."""
    for source in ("hf", "transformers", "timm"):
        name = {"name": "resnet18"} if source == "timm" else {"config": {"model_type": "resnet"}}
        bk.build_model({"backbone": {"source": source, **name}})
    budget.free_memory = lambda: FREE


ATTACKS: dict[str, Attack] = {**PROCESSORS, **CONFIGS, **WHOLE, **TIMM}
