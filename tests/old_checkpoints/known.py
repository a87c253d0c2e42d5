"""What is known to fail or to differ, with its reason. Everything else that does makes the command fail."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Known:
    """`where`: a pattern of "CLASS on BACKBONE". `releases`: the first two numbers, empty for all.
    `message`: a pattern of the refusal, or empty where outputs differ. `reason`: what the page says."""

    where: str
    releases: tuple[str, ...]
    message: str
    reason: str

    def covers(self, where: str, version: str, message: str) -> bool:
        release = ".".join(version.split(".")[:2])
        return bool(
            re.search(self.where, where)
            and (not self.releases or release in self.releases)
            and bool(self.message) == bool(message)
            and re.search(self.message, message)
        )


DIFFERENCES = (
    Known(
        "^(Dinov2|.* on dinov2)", ("4.44",), "",
        "4.44 interpolates DINOv2's position table by a factor of (size + 0.1) / old size and later releases to an "
        "exact size. At the table's own size (56 x 56) nothing differs.",
    ),
    Known(
        "^(RTDetr|RTDetrV2|DFine)ForObjectDetection", ("4.44", "4.57"), "",
        "4.x lists the encoder's sine positions by column while the map's tokens run by row; 5.x lists them by row, "
        "and so does backbonekit. On square images, for which these models are published, nothing differs.",
    ),
)  # fmt: skip
REFUSALS = (
    Known(
        "^DPTForDepthEstimation on its own transformer", (), "a transformer of its own",
        "The first DPT, with a transformer of its own, is not built in backbonekit.",
    ),
)  # fmt: skip


def reason_for(where: str, version: str, message: str) -> str | None:
    """`message`: of the refusal, or empty where outputs differ. None: not known."""
    for known in REFUSALS if message else DIFFERENCES:
        if known.covers(where, version, message):
            return known.reason
    return None
