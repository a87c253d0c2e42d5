"""The names of weights that RT-DETR, RT-DETR v2 and D-FINE share, as transformers writes them.

On disk the transformer is `encoder.encoder` and its layers have `fc1` and `out_proj`; in memory they are
`encoder.aifi`, `mlp.fc1` (of D-FINE `mlp.layers.0`) and `o_proj`. What stands first is written back.
Source: transformers/models/{rt_detr,rt_detr_v2,d_fine}/modeling_*.py; transformers/conversion_mapping.py.
"""

from backbonekit.weights.key_map import KeyMap, Rename, Rule

_PROJECTIONS = (
    ("q_proj", "query"),
    ("k_proj", "key"),
    ("v_proj", "value"),
    ("out_proj", "output"),
    ("o_proj", "output"),
)
_LINEARS = (
    *(("fc1", "widen"), ("fc2", "narrow"), ("mlp.fc1", "widen"), ("mlp.fc2", "narrow")),
    *(("mlp.layers.0", "widen"), ("mlp.layers.1", "narrow")),
)


def neck_names(*, is_elan: bool) -> KeyMap:
    """Between `model.` and `neck.0.`."""
    rules: list[Rule] = [
        Rename("encoder_input_proj.{i}.0", "projections.{i}.convolution"),
        Rename("encoder_input_proj.{i}.1", "projections.{i}.norm"),
    ]
    for spelling in ("encoder.encoder.0", "encoder.aifi.0"):
        rules += _layer_rules(f"{spelling}.layers.{{i}}", "layers.{i}")
    rules += _convolution("encoder.lateral_convs.{i}", "laterals.{i}" if is_elan else "laterals.{i}.layer")
    for theirs, ours in (("fpn_blocks", "top_down"), ("pan_blocks", "bottom_up")):
        block = (f"encoder.{theirs}.{{i}}", f"{ours}.{{i}}")
        rules += _elan(*block) if is_elan else _csp(*block)
    down = "encoder.downsample_convs.{i}"
    if is_elan:
        rules += _convolution(f"{down}.conv1", "downsamples.{i}.mix")
        rules.append(Rename(f"{down}.conv2.conv", "downsamples.{i}.halve"))
        rules.append(Rename(f"{down}.conv2.norm", "downsamples.{i}.norm"))
    else:
        rules += _convolution(down, "downsamples.{i}.layer")
    return KeyMap(rules)


def start_names() -> KeyMap:
    """Between `model.` and `head.start.`."""
    return KeyMap(
        [
            Rename("decoder_input_proj.{i}.0", "projections.{i}.convolution"),
            Rename("decoder_input_proj.{i}.1", "projections.{i}.norm"),
            Rename("enc_output.0", "selection.projection"),
            Rename("enc_output.1", "selection.norm"),
            Rename("enc_score_head", "selection.class_predictor"),
            Rename("enc_bbox_head", "selection.box_predictor"),
            Rename("denoising_class_embed", "label_embedding"),
            Rename("weight_embedding", "learned"),
        ]
    )


def decoder_rules() -> list[Rule]:
    """Between `model.decoder.` and `head.`; what both decoders have."""
    layer, ours = "layers.{i}", "layers.{i}"
    attention = ("sampling_offsets", "offsets"), ("attention_weights", "weights")
    projections = ("value_proj", "value"), ("output_proj", "output")
    return [
        *_layer_rules(layer, ours),
        *(
            Rename(f"{layer}.encoder_attn.{theirs}", f"{ours}.cross_attention.{name}")
            for theirs, name in (*attention, *projections)
        ),
        Rename(f"{layer}.encoder_attn_layer_norm", f"{ours}.cross_attention_norm"),
        Rename("query_pos_head", "positions"),
        Rename("class_embed", "class_predictors"),
    ]


# The predictors stand in the checkpoint a second time, under the names of their first place; and what follows from the
# number of points, as a tensor.
IDLE_NAMES = ("class_embed.*", "bbox_embed.*", "model.decoder.layers.*.n*_points_scale")


def _layer_rules(theirs: str, ours: str) -> list[Rule]:
    """Self-attention and feed-forward of an encoder's or a decoder's layer."""
    return [
        *(Rename(f"{theirs}.self_attn.{one}", f"{ours}.self_attention.{other}") for one, other in _PROJECTIONS),
        Rename(f"{theirs}.self_attn_layer_norm", f"{ours}.self_attention_norm"),
        *(Rename(f"{theirs}.{one}", f"{ours}.feedforward.{other}") for one, other in _LINEARS),
        Rename(f"{theirs}.final_layer_norm", f"{ours}.feedforward_norm"),
    ]


def _convolution(theirs: str, ours: str) -> list[Rule]:
    return [Rename(f"{theirs}.conv", f"{ours}.convolution"), Rename(f"{theirs}.norm", f"{ours}.norm")]


def _csp(theirs: str, ours: str) -> list[Rule]:
    parts = (("conv1", "enter.layer"), ("conv2", "shortcut.layer"), ("conv3", "leave.layer"))
    inner = (("conv1", "wide"), ("conv2", "narrow"))
    return [
        *(rule for one, other in parts for rule in _convolution(f"{theirs}.{one}", f"{ours}.{other}")),
        *(
            rule
            for one, other in inner
            for rule in _convolution(f"{theirs}.bottlenecks.{{j}}.{one}", f"{ours}.blocks.{{j}}.{other}")
        ),
    ]


def _elan(theirs: str, ours: str) -> list[Rule]:
    parts = (("conv1", "enter"), ("conv2", "first_out"), ("conv3", "second_out"), ("conv4", "leave"))
    return [
        *(rule for one, other in parts for rule in _convolution(f"{theirs}.{one}", f"{ours}.{other}.layer")),
        *_csp(f"{theirs}.csp_rep1", f"{ours}.first"),
        *_csp(f"{theirs}.csp_rep2", f"{ours}.second"),
    ]
