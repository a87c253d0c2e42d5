"""Why a test of transformers fails here: what backbonekit does otherwise, one line each."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """`test`, `subject` and `message`: patterns of what failed, where and with which message."""

    test: str
    message: str
    reason: str
    subject: str = ""


REASONS = (
    Reason("backbone_common_attributes", "False is not true", "A backbone has no `backbone_type`."),
    Reason(
        "^test_config", "returns no map of 'stem'",
        "`stem` and index 0 of `maskformer-swin` are refused at once, in transformers when the backbone is built.",
        "maskformer-?swin",
    ),
    Reason(
        "test_channels|test_create_from_modified_config", "NoneType",
        "`out_features` of a TimmBackboneConfig stays None; transformers' model fills it in when it is built.",
        "timm",
    ),
    Reason(
        "test_config_save_pretrained", "needs backbone",
        "A TimmBackboneConfig needs the name of an architecture.", "timm",
    ),
    Reason("subfolder", "has no file 'config.json'", "`from_pretrained` of a configuration does not take `subfolder`."),
    Reason("composite", "sub_configs", "A configuration has no `sub_configs`."),
    Reason("custom_kwargs", "get_text_config", "A configuration has no `get_text_config`."),
    Reason("to_json_file", "to_json_file", "A configuration has no `to_json_file`."),
    Reason("to_json_string", "to_json_string", "A configuration has no `to_json_string`."),
    Reason("", "no field 'num_labels'", "The configuration of a backbone has no `num_labels`."),
    Reason("", "attribute 'init_weights'", "A backbone has no `init_weights`."),
    Reason(
        "test_batching_equivalence", "not equal in BitBackbone",
        "Rounding: alone and in a batch maps differ by 1.5e-5 at values up to 17, by 2e-5 to 3e-5 in transformers' own "
        "class under other random weights; the test allows 1e-5.",
        "^bit",
    ),
    Reason("", "'output_loading_info' is not supported", "`from_pretrained` does not take `output_loading_info`."),
    Reason("", "^KeyError: 0", "An output is read by name only: `outputs[0]` is a KeyError."),
    Reason("", "attribute 'to_tuple'", "An output has no `to_tuple`."),
    Reason(
        "no_checkpoint", "positional argument: 'name_or_folder'",
        "`from_pretrained` names its first argument `name_or_folder`, not `pretrained_model_name_or_path`.",
    ),
    Reason(
        "gradient_checkpointing", "supports_gradient_checkpointing",
        "A backbone has no `supports_gradient_checkpointing` or `gradient_checkpointing_enable`; "
        "`backbonekit.gradient_checkpointing(model)` switches it on.",
    ),
)  # fmt: skip


def reason_for(subject: str, test: str, message: str) -> str | None:
    for one in REASONS:
        if (
            re.search(one.test, test)
            and re.search(one.subject, subject, re.IGNORECASE)
            and re.search(one.message, message)
        ):
            return one.reason
    return None
