"""The table of whole models: model types of transformers, and how their classes are called. No torch here.

`DetrConfig` and `DetrForObjectDetection` stand in `hf_models/model_configs.py` and `model_classes.py`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NamedModel:
    """`name` and `task`: the parts of the names of its classes. `processor`: the image processor of transformers that
    reads its predictions."""

    name: str
    task: str
    processor: str

    @property
    def config(self) -> str:
        return f"{self.name}Config"

    @property
    def architecture(self) -> str:
        return f"{self.name}For{self.task}"


MODELS = {
    "d_fine": NamedModel("DFine", "ObjectDetection", "RTDetr"),
    "deformable_detr": NamedModel("DeformableDetr", "ObjectDetection", "DeformableDetr"),
    "depth_anything": NamedModel("DepthAnything", "DepthEstimation", "DPT"),
    "detr": NamedModel("Detr", "ObjectDetection", "Detr"),
    "dpt": NamedModel("DPT", "DepthEstimation", "DPT"),
    "mask2former": NamedModel("Mask2Former", "UniversalSegmentation", "Mask2Former"),
    "maskformer": NamedModel("MaskFormer", "InstanceSegmentation", "MaskFormer"),
    "rt_detr": NamedModel("RTDetr", "ObjectDetection", "RTDetr"),
    "rt_detr_v2": NamedModel("RTDetrV2", "ObjectDetection", "RTDetr"),
    "upernet": NamedModel("UperNet", "SemanticSegmentation", "Segformer"),
    "vitpose": NamedModel("VitPose", "PoseEstimation", "VitPose"),
}
