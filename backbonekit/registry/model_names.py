"""The table of whole models: model types of transformers, and how their classes are called. No torch here.

`DetrConfig` and `DetrForObjectDetection` follow from a line here and from the dialect that is registered under the
name of the second. MaskFormer stands in files of its own.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NamedModel:
    """`name` and `task`: of which the names of its classes are made. `answers`: the kind of face that it has, see
    `hf_models/model_kinds.py`. `processor`: the image processor of transformers that its predictions are read with."""

    name: str
    task: str
    predictions: str
    processor: str

    @property
    def config(self) -> str:
        return f"{self.name}Config"

    @property
    def architecture(self) -> str:
        return f"{self.name}For{self.task}"


MODELS = {
    "d_fine": NamedModel("DFine", "ObjectDetection", "BoxModel", "RTDetr"),
    "deformable_detr": NamedModel("DeformableDetr", "ObjectDetection", "BoxModel", "DeformableDetr"),
    "depth_anything": NamedModel("DepthAnything", "DepthEstimation", "DepthModel", "DPT"),
    "detr": NamedModel("Detr", "ObjectDetection", "BoxModel", "Detr"),
    "dpt": NamedModel("DPT", "DepthEstimation", "DepthModel", "DPT"),
    "mask2former": NamedModel("Mask2Former", "UniversalSegmentation", "MaskModel", "Mask2Former"),
    "rt_detr": NamedModel("RTDetr", "ObjectDetection", "BoxModel", "RTDetr"),
    "rt_detr_v2": NamedModel("RTDetrV2", "ObjectDetection", "BoxModel", "RTDetr"),
    "upernet": NamedModel("UperNet", "SemanticSegmentation", "DenseModel", "Segformer"),
    "vitpose": NamedModel("VitPose", "PoseEstimation", "PoseModel", "VitPose"),
}


def model_class_names() -> dict[str, str]:
    """Each public class and the model type that it is of."""
    return {name: kind for kind, named in MODELS.items() for name in (named.config, named.architecture)}
