"""SegFormer as transformers saves it. Its encoder is a PVT v2 whose norms have another epsilon.

Source: transformers/models/segformer/{configuration,modeling}_segformer.py; transformers/conversion_mapping.py, which
writes some names otherwise on disk than they are in memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from torch import Tensor

from backbonekit.contract.options import Channels, Heads, Probability, Range
from backbonekit.errors import RecipeError
from backbonekit.heads.shared_checkpoint.converter import read_class_names
from backbonekit.heads.shared_checkpoint.fields import ModelFields, only, unused
from backbonekit.heads.shared_checkpoint.nested_backbone import NestedBackbone, notes_on, read_nested
from backbonekit.heads.shared_checkpoint.written_config import WrittenRecipe, class_fields
from backbonekit.weights.key_map import Join, KeyMap, Rename, Reshape, Rule, combine

_EPSILON = 1e-5  # of every norm, whatever `layer_norm_eps` says
_STAGES = 4
# Fields of the encoder, which a PVT v2 has under the same names.
_ENCODER = (
    *("num_channels", "num_encoder_blocks", "depths", "sr_ratios", "hidden_sizes", "patch_sizes", "strides"),
    *("num_attention_heads", "mlp_ratios", "hidden_act", "hidden_dropout_prob", "attention_probs_dropout_prob"),
    "drop_path_rate",
)
Ratio = Annotated[int, Range(1, 1_024)]


@dataclass(kw_only=True)
class SegformerFields(ModelFields):
    """Fields of SegFormer. `layer_norm_eps` is without effect in transformers."""

    second_names: ClassVar[Mapping[str, str]] = {"num_hidden_layers": "num_encoder_blocks"}
    ignored: ClassVar[frozenset[str]] = frozenset({"downsampling_rates", "image_size"})
    read_elsewhere: ClassVar[tuple[str, ...]] = ()

    num_channels: Channels = 3
    num_encoder_blocks: int = only(_STAGES, "the head reads four maps")
    depths: Sequence[Ratio] = (2, 2, 2, 2)
    sr_ratios: Sequence[Ratio] = (8, 4, 2, 1)
    hidden_sizes: Sequence[Channels] = (32, 64, 160, 256)
    patch_sizes: Sequence[Ratio] = (7, 3, 3, 3)
    strides: Sequence[Ratio] = (4, 2, 2, 2)
    num_attention_heads: Sequence[Heads] = (1, 2, 5, 8)
    mlp_ratios: Sequence[Ratio] = (4, 4, 4, 4)
    hidden_act: str = "gelu"
    hidden_dropout_prob: Probability = 0.0
    attention_probs_dropout_prob: Probability = 0.0
    classifier_dropout_prob: Probability = 0.1
    initializer_range: float = unused(0.02)
    drop_path_rate: Probability = 0.1
    layer_norm_eps: float = unused(1e-6)
    decoder_hidden_size: Channels = 256
    semantic_loss_ignore_index: Annotated[int, Range(-1, 1_000_000)] = 255
    reshape_last_stage: bool = only(True, "every stage returns a map")


@dataclass(frozen=True, slots=True)
class SegFormerCheckpoint:
    """Both ways between transformers' SegFormer and `pvt_v2` with the head `segformer`."""

    architectures: tuple[str, ...] = ("SegformerForSemanticSegmentation",)
    head: str = "segformer"

    def recipe(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A flat recipe. Raises RecipeError with every field that has no counterpart."""
        faults: list[str] = []
        fields = SegformerFields.read(config, faults)
        backbone = _backbone(fields, faults)
        labels, num_classes = read_class_names(config, faults)
        if faults or backbone is None:
            raise RecipeError([f"SegFormer config.json: {fault}" for fault in faults])
        head = {
            "name": "segformer",
            "channels": fields.decoder_hidden_size,
            "dropout": fields.classifier_dropout_prob,
            "criterion": {"name": "dense_cross_entropy", "ignore_label": fields.semantic_loss_ignore_index},
        }
        return {
            "schema_version": 2,
            "backbone": backbone.recipe,
            "neck": None,
            "head": head if labels else {**head, "num_classes": num_classes},
            "labels": labels,
        }

    def config(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """The content of the `config.json` of a flat and complete recipe. Raises RecipeError for what transformers has
        no field for."""
        parts = WrittenRecipe(recipe, "SegFormer")
        encoder = parts.backbone
        fixed = {"model_type": "pvt_v2", "layer_norm_eps": _EPSILON, "qkv_bias": True, "linear_attention": False}
        faults = [
            f"backbone: the encoder of transformers' SegFormer is a pvt_v2 with {name}={value}, and this backbone has"
            f" {encoder.get(name)}."
            for name, value in fixed.items()
            if encoder.get(name) != value
        ]
        if encoder["out_indices"] != list(range(_STAGES)):
            faults.append(f"backbone.out_indices={encoder['out_indices']}: SegFormer reads all four maps.")
        if faults:
            raise RecipeError(faults if encoder["model_type"] == "pvt_v2" else faults[:1])
        return {
            "model_type": "segformer",
            "architectures": list(self.architectures),
            **{name: encoder[name] for name in _ENCODER},
            **class_fields(recipe),
            "decoder_hidden_size": parts.head["channels"],
            "classifier_dropout_prob": parts.head["dropout"],
            **({} if parts.ignore_label is None else {"semantic_loss_ignore_index": parts.ignore_label}),
        }

    def notes(self, config: Mapping[str, Any]) -> tuple[str, ...]:
        """Which words are ignored."""
        return notes_on(config, SegformerFields)

    def weights(self, config: Mapping[str, Any], state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights by transformers' names."""
        return self.key_map(config).reverse(state_dict)

    def key_map(self, config: Mapping[str, Any]) -> KeyMap:
        """Names on disk and in memory; those on disk are the ones written back."""
        return combine(KeyMap(_encoder_rules()).under("segformer", "backbone.body"), _head_names())


SEGFORMER = SegFormerCheckpoint()


def _backbone(fields: SegformerFields, faults: list[str]) -> NestedBackbone | None:
    described = {name: getattr(fields, name) for name in _ENCODER}
    nested = {"model_type": "pvt_v2", **described, "layer_norm_eps": _EPSILON, "out_indices": list(range(_STAGES))}
    return None if faults else read_nested(nested, faults)


def _encoder_rules() -> list[Rule]:
    rules: list[Rule] = []
    for embedding, block, norm in (
        ("encoder.patch_embeddings.{i}", "encoder.block.{i}.{j}", "encoder.layer_norm.{i}"),
        ("stages.{i}.patch_embeddings", "stages.{i}.blocks.{j}", "stages.{i}.layer_norm"),
    ):
        first, later, ours = embedding.replace("{i}", "0"), "stages.{i}.downsample", "stages.{i}.blocks.{j}"
        rules += [Rename(f"{first}.proj", "patch_embed.proj"), Rename(f"{first}.layer_norm", "patch_embed.norm")]
        rules += [Rename(f"{embedding}.proj", f"{later}.proj"), Rename(f"{embedding}.layer_norm", f"{later}.norm")]
        rules.append(Rename(norm, "stages.{i}.norm"))
        names = _BLOCK_NAMES if norm.startswith("encoder") else _NEWER_BLOCK_NAMES
        for theirs, own in names.items():
            if isinstance(theirs, tuple):
                rules.append(Join([f"{block}.{one}" for one in theirs], f"{ours}.{own}"))
            else:
                rules.append(Rename(f"{block}.{theirs}", f"{ours}.{own}"))
    return rules


_BLOCK_NAMES: Mapping[str | tuple[str, str], str] = {
    "layer_norm_1": "norm1",
    "layer_norm_2": "norm2",
    "attention.self.query": "attn.q",
    ("attention.self.key", "attention.self.value"): "attn.kv",
    "attention.self.sr": "attn.sr",
    "attention.self.layer_norm": "attn.norm",
    "attention.output.dense": "attn.proj",
    "mlp.dense1": "mlp.fc1",
    "mlp.dwconv.dwconv": "mlp.dwconv",
    "mlp.dense2": "mlp.fc2",
}
_NEWER_BLOCK_NAMES: Mapping[str | tuple[str, str], str] = {
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "attention.q_proj": "attn.q",
    ("attention.k_proj", "attention.v_proj"): "attn.kv",
    "attention.sequence_reduction.sequence_reduction": "attn.sr",
    "attention.sequence_reduction.layer_norm": "attn.norm",
    "attention.o_proj": "attn.proj",
    "mlp.fc1": "mlp.fc1",
    "mlp.dwconv.dwconv": "mlp.dwconv",
    "mlp.fc2": "mlp.fc2",
}


def _head_names() -> KeyMap:
    rules: list[Rule] = []
    for theirs in ("linear_c.{i}.proj", "linear_projections.{i}.proj"):
        # A linear layer over tokens is a 1 x 1 convolution of the map.
        weight = (f"{theirs}.weight", "linear.{i}.weight")
        rules.append(Reshape(*weight, ours_shape=lambda s: (*s, 1, 1), foreign_shape=lambda s: s[:2]))
        rules.append(Rename(f"{theirs}.bias", "linear.{i}.bias"))
    rules += [Rename("linear_fuse", "mix.convolution"), Rename("batch_norm", "mix.norm")]
    return KeyMap([*rules, Rename("classifier", "classifier")]).under("decode_head", "head")
