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
            "aspp": "backbonekit.necks.aspp:AtrousPyramidNeck",
            "bifpn": "backbonekit.necks.bifpn:BiFPN",
            "channel_mapper": "backbonekit.necks.channel_mapper:ChannelMapper",
            "deformable_encoder": "backbonekit.necks.deformable_encoder:DeformableEncoderNeck",
            "deformable_pixel_decoder": "backbonekit.necks.deformable_pixel_decoder:DeformablePixelDecoder",
            "dpt_reassemble": "backbonekit.necks.dpt_reassemble:DPTReassemble",
            "fpn": "backbonekit.necks.fpn:FeaturePyramidNetwork",
            "fpn_pixel_decoder": "backbonekit.necks.fpn_pixel_decoder:FPNPixelDecoder",
            "hybrid_encoder": "backbonekit.necks.hybrid_encoder:HybridEncoder",
            "pafpn": "backbonekit.necks.pafpn:PathAggregationNetwork",
            "ppm": "backbonekit.necks.ppm:PyramidPoolingNeck",
            "simple_feature_pyramid": "backbonekit.necks.simple_feature_pyramid:SimpleFeaturePyramid",
            "transformer_encoder": "backbonekit.necks.transformer_encoder:TransformerEncoder",
        },
        "head": {
            "classification": "backbonekit.heads.classification:ClassificationHead",
            "d_fine": "backbonekit.heads.d_fine:DFINEHead",
            "deeplabv3plus": "backbonekit.heads.deeplabv3plus:DeepLabV3PlusHead",
            "deformable_detr": "backbonekit.heads.deformable_detr:DeformableDETRHead",
            "depth_anything": "backbonekit.heads.depth_anything:DepthAnythingHead",
            "detr": "backbonekit.heads.detr:DETRHead",
            "dpt": "backbonekit.heads.dpt:DPTHead",
            "faster_rcnn": "backbonekit.heads.faster_rcnn:FasterRCNNHead",
            "fcn": "backbonekit.heads.fcn:FCNHead",
            "fcos": "backbonekit.heads.fcos:FCOSHead",
            "linear_probe": "backbonekit.heads.linear_probe:LinearProbeHead",
            "mask2former": "backbonekit.heads.mask2former:Mask2FormerHead",
            "mask_rcnn": "backbonekit.heads.mask_rcnn:MaskRCNNHead",
            "maskformer": "backbonekit.heads.maskformer:MaskFormerHead",
            "retinanet": "backbonekit.heads.retinanet:RetinaNetHead",
            "rt_detr": "backbonekit.heads.rt_detr:RTDETRHead",
            "segformer": "backbonekit.heads.segformer:SegFormerHead",
            "semantic_fpn": "backbonekit.heads.semantic_fpn:SemanticFPNHead",
            "unet": "backbonekit.heads.unet:UNetHead",
            "upernet": "backbonekit.heads.upernet:UPerNetHead",
            "vitpose": "backbonekit.heads.vitpose:ViTPoseHead",
        },
        "criterion": {
            "box_set": "backbonekit.losses.box_set:BoxSetCriterion",
            "cross_entropy": "backbonekit.losses.cross_entropy:CrossEntropy",
            "dense_cross_entropy": "backbonekit.losses.dense_cross_entropy:DenseCrossEntropy",
            "fcos": "backbonekit.losses.fcos:FCOSCriterion",
            "retinanet": "backbonekit.losses.retinanet:RetinaNetCriterion",
            "heatmap": "backbonekit.losses.heatmap:HeatmapError",
            "mask_set": "backbonekit.losses.mask_set:MaskSetCriterion",
            "metric_depth": "backbonekit.losses.metric_depth:MetricDepth",
            "point_mask_set": "backbonekit.losses.point_mask_set:PointMaskSetCriterion",
            "relative_depth": "backbonekit.losses.relative_depth:RelativeDepth",
            "edge_box_set": "backbonekit.losses.edge_box_set:EdgeBoxSetCriterion",
        },
        "dialect": {  # by the `architectures` of a foreign config.json
            "DeformableDetrForObjectDetection": "backbonekit.dialects.deformable_detr:DEFORMABLE_DETR",
            "DetrForObjectDetection": "backbonekit.dialects.detr:DETR",
            "DFineForObjectDetection": "backbonekit.dialects.d_fine:D_FINE",
            "DPTForDepthEstimation": "backbonekit.dialects.dpt:DPT",
            "DepthAnythingForDepthEstimation": "backbonekit.dialects.depth_anything:DEPTH_ANYTHING",
            "Mask2FormerForUniversalSegmentation": "backbonekit.dialects.mask2former:MASK2FORMER",
            "MaskFormerForInstanceSegmentation": "backbonekit.dialects.maskformer:MASKFORMER",
            "RTDetrForObjectDetection": "backbonekit.dialects.rt_detr:RT_DETR",
            "RTDetrV2ForObjectDetection": "backbonekit.dialects.rt_detr:RT_DETR",
            "UperNetForSemanticSegmentation": "backbonekit.dialects.upernet:UPERNET",
            "VitPoseForPoseEstimation": "backbonekit.dialects.vitpose:VITPOSE",
        },
    }
)
KINDS: tuple[str, ...] = tuple(BUILTIN)
