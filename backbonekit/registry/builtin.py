"""The one page of what ships: kind -> name -> "module:attribute", imported when the part is built and not before."""

from collections.abc import Mapping
from types import MappingProxyType

BUILTIN: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "backbone": {  # by source, not by architecture
            "hf": "backbonekit.backbones.hf_source:blueprint",
            "timm": "backbonekit.backbones.timm_source:blueprint",
            "transformers": "backbonekit.backbones.transformers_source:blueprint",
        },
        "neck": {
            "channel_mapper": "backbonekit.necks.channel_mapper:ChannelMapper",
            "fpn": "backbonekit.necks.fpn:FeaturePyramidNetwork",
            "fpn_pixel_decoder": "backbonekit.necks.fpn_pixel_decoder:FPNPixelDecoder",
            "simple_feature_pyramid": "backbonekit.necks.simple_feature_pyramid:SimpleFeaturePyramid",
        },
        "head": {
            "classification": "backbonekit.heads.classification:ClassificationHead",
            "fcn": "backbonekit.heads.fcn:FCNHead",
            "maskformer": "backbonekit.heads.maskformer:MaskFormerHead",
        },
        "criterion": {
            "cross_entropy": "backbonekit.losses.cross_entropy:CrossEntropy",
            "dense_cross_entropy": "backbonekit.losses.dense_cross_entropy:DenseCrossEntropy",
            "mask_set": "backbonekit.losses.mask_set:MaskSetCriterion",
        },
        "dialect": {  # by the `architectures` of a foreign config.json
            "MaskFormerForInstanceSegmentation": "backbonekit.dialects.maskformer:MASKFORMER",
        },
    }
)
KINDS: tuple[str, ...] = tuple(BUILTIN)
