"""The one page of what ships: kind -> name -> "module:attribute", imported when the part is built and not before."""

from collections.abc import Mapping
from types import MappingProxyType

BUILTIN: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "backbone": {  # by source, not by architecture
            "hf": "backbonekit.backbones.hf.blueprint:blueprint",
            "timm": "backbonekit.backbones.timm.blueprint:blueprint",
            "transformers": "backbonekit.backbones.transformers.blueprint:blueprint",
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
            "classification": "backbonekit.heads.classification.head:ClassificationHead",
            "d_fine": "backbonekit.heads.d_fine.head:DFINEHead",
            "deeplabv3plus": "backbonekit.heads.deeplabv3plus.head:DeepLabV3PlusHead",
            "deformable_detr": "backbonekit.heads.deformable_detr.head:DeformableDETRHead",
            "depth_anything": "backbonekit.heads.depth_anything.head:DepthAnythingHead",
            "detr": "backbonekit.heads.detr.head:DETRHead",
            "dpt": "backbonekit.heads.dpt.head:DPTHead",
            "faster_rcnn": "backbonekit.heads.faster_rcnn.head:FasterRCNNHead",
            "fcn": "backbonekit.heads.fcn.head:FCNHead",
            "fcos": "backbonekit.heads.fcos.head:FCOSHead",
            "linear_probe": "backbonekit.heads.linear_probe.head:LinearProbeHead",
            "mask2former": "backbonekit.heads.mask2former.head:Mask2FormerHead",
            "mask_rcnn": "backbonekit.heads.mask_rcnn.head:MaskRCNNHead",
            "maskformer": "backbonekit.heads.maskformer.head:MaskFormerHead",
            "retinanet": "backbonekit.heads.retinanet.head:RetinaNetHead",
            "rt_detr": "backbonekit.heads.rt_detr.head:RTDETRHead",
            "segformer": "backbonekit.heads.segformer.head:SegFormerHead",
            "semantic_fpn": "backbonekit.heads.semantic_fpn.head:SemanticFPNHead",
            "unet": "backbonekit.heads.unet.head:UNetHead",
            "upernet": "backbonekit.heads.upernet.head:UPerNetHead",
            "vitpose": "backbonekit.heads.vitpose.head:ViTPoseHead",
        },
        "criterion": {
            "box_set": "backbonekit.losses.box_set:BoxSetCriterion",
            "cross_entropy": "backbonekit.heads.classification.loss:CrossEntropy",
            "dense_cross_entropy": "backbonekit.losses.dense_cross_entropy:DenseCrossEntropy",
            "fcos": "backbonekit.heads.fcos.loss:FCOSCriterion",
            "retinanet": "backbonekit.heads.retinanet.loss:RetinaNetCriterion",
            "heatmap": "backbonekit.heads.vitpose.loss:HeatmapError",
            "mask_set": "backbonekit.heads.maskformer.loss:MaskSetCriterion",
            "metric_depth": "backbonekit.losses.metric_depth:MetricDepth",
            "point_mask_set": "backbonekit.heads.mask2former.loss:PointMaskSetCriterion",
            "relative_depth": "backbonekit.losses.relative_depth:RelativeDepth",
            "edge_box_set": "backbonekit.heads.d_fine.loss:EdgeBoxSetCriterion",
        },
        "data": {  # by format
            "coco": "backbonekit.data.coco:Coco",
            "image_folders": "backbonekit.data.image_folders:ImageFolders",
            "mask_folders": "backbonekit.data.mask_folders:MaskFolders",
        },
        "augmentation": {
            "horizontal_flip": "backbonekit.data.augmentation.flip:HorizontalFlip",
            "vertical_flip": "backbonekit.data.augmentation.flip:VerticalFlip",
        },
        "checkpoint": {  # the converter, by the `architectures` of a config.json of transformers
            "DeformableDetrForObjectDetection": "backbonekit.heads.deformable_detr.checkpoint:DEFORMABLE_DETR",
            "DetrForObjectDetection": "backbonekit.heads.detr.checkpoint:DETR",
            "DFineForObjectDetection": "backbonekit.heads.d_fine.checkpoint:D_FINE",
            "DPTForDepthEstimation": "backbonekit.heads.dpt.checkpoint:DPT",
            "DepthAnythingForDepthEstimation": "backbonekit.heads.depth_anything.checkpoint:DEPTH_ANYTHING",
            "Mask2FormerForUniversalSegmentation": "backbonekit.heads.mask2former.checkpoint:MASK2FORMER",
            "MaskFormerForInstanceSegmentation": "backbonekit.heads.maskformer.checkpoint:MASKFORMER",
            "RTDetrForObjectDetection": "backbonekit.heads.rt_detr.checkpoint:RT_DETR",
            "RTDetrV2ForObjectDetection": "backbonekit.heads.rt_detr.checkpoint:RT_DETR",
            "UperNetForSemanticSegmentation": "backbonekit.heads.upernet.checkpoint:UPERNET",
            "VitPoseForPoseEstimation": "backbonekit.heads.vitpose.checkpoint:VITPOSE",
        },
    }
)
KINDS: tuple[str, ...] = tuple(BUILTIN)
