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
    Reason(
        "^test_config", "returns no map of 'stem'",
        "`stem` and index 0 of `maskformer-swin` are refused at once, in transformers when the backbone is built.",
        "maskformer-?swin",
    ),
    Reason(
        "test_config_save_pretrained", "needs backbone",
        "A TimmBackboneConfig needs the name of an architecture.", "timm",
    ),
    Reason(
        "test_batching_equivalence", "has no field 'rms_norm_eps'",
        "The test sets fields of text models, such as `rms_norm_eps`, on every configuration; here a field that the "
        "model does not have is refused.",
    ),
    Reason(
        "gradient_checkpointing", r"\[\] is not true",
        "The test looks for layers of transformers' own class GradientCheckpointingLayer; here a backbone's stages "
        "compute their blocks again.",
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
