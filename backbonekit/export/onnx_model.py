"""A model that runs from an ONNX file: images in, results out, without a part of it being built here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from backbonekit.assembly.task import labels_of_results
from backbonekit.contract.labels import Labels, LabelsByTask
from backbonekit.contract.predictions import ModelOutput, Prediction, Scoring
from backbonekit.errors import RecipeError, StorageError
from backbonekit.export.metadata import ExportedMetadata, ExportedTask, read_metadata
from backbonekit.export.onnx_session import OnnxSession
from backbonekit.export.outputs import num_classes_of, prediction_of_tensors
from backbonekit.image_processing.processor import ImageProcessor
from backbonekit.image_processing.target_rules import TargetRules
from backbonekit.weights.untrusted_files import user_path


class OnnxModel(nn.Module):
    """What `load_onnx` returns. Predicts as the composed model did that was exported; has no parameters.

    `metadata`: what the file says of itself. `processor`: prepares images as the metadata says. `tasks`: by name, ''
    for the only one.
    """

    def __init__(self, session: OnnxSession) -> None:
        super().__init__()
        self.session = session
        self.metadata: ExportedMetadata = read_metadata(session.metadata, shown=session.shown)
        self.tasks: Mapping[str, ExportedTask] = self.metadata.tasks
        try:
            rules = {name: TargetRules(task.ignore_label) for name, task in self.tasks.items()}
            self.processor = ImageProcessor(self.metadata.processing, tasks=rules)
        except RecipeError as error:
            raise StorageError(f"{session.shown}: its metadata cannot be read: {error}") from error
        channels = len(self.metadata.processing.mean)
        if session.channels not in (None, channels):
            raise StorageError(
                f"{session.shown}: takes {session.channels} channels, and its metadata has the mean of {channels}."
            )
        self.eval()

    def forward(self, pixel_values: Tensor, pixel_mask: Tensor | None = None) -> ModelOutput:
        """As `ComposedModel.forward`, without feature maps. Raises StorageError for outputs that are no prediction."""
        tensors = self.session(pixel_values, pixel_mask)
        predictions = {
            name: self._prediction(name, task, tensors, pixel_values.shape[0])
            for name, task in self.tasks.items()
            if task.kind is not None
        }
        return ModelOutput(feature_maps=(), predictions=predictions.get("", predictions) or None)

    def _prediction(self, name: str, task: ExportedTask, tensors: Mapping[str, Tensor], batch: int) -> Prediction:
        shown, prefix = self.session.shown, f"{name}." if name else ""
        own = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
        assert task.kind is not None
        assert task.scoring is not None  # the metadata have both or neither
        prediction = prediction_of_tensors(task.kind, own, batch=batch, shown=shown)
        count = num_classes_of(prediction, task.scoring)
        if task.labels is not None and count is not None and count != len(task.labels.names):
            raise StorageError(
                f"{shown}: predicts {count} classes, and its metadata names {len(task.labels.names)} of them."
            )
        return prediction

    def task_labels(self, task: str = "") -> Labels | None:
        """The names of the classes of a task."""
        return self.tasks[task].labels

    def result_labels(self, task: str | None = None) -> Labels | LabelsByTask | None:
        """The names for what `predict(task=task)` returns: of one task, or by task where they differ."""
        predicting = {name: one.labels for name, one in self.tasks.items() if one.scoring is not None}
        return labels_of_results(predicting, task)

    def scoring(self, task: str = "") -> Scoring | None:
        """How scores are read off a task's prediction; None for a task without a head."""
        return self.tasks[task].scoring

    def prediction_kind(self, task: str = "") -> type[Prediction] | None:
        """The kind of prediction of a task; None for a task without a head."""
        return self.tasks[task].kind

    def predict(
        self,
        images: Any,
        *,
        boxes: Any = None,
        task: str | None = None,
        threshold: float | None = None,
        top_k: int | None = None,
        batch_size: int | None = None,
    ) -> list[Any]:
        """As `ComposedModel.predict`. `threshold`: by default the file's own."""
        from backbonekit.assembly.predict import predict

        return predict(
            self,
            images,
            boxes=boxes,
            task=task,
            threshold=self.metadata.threshold if threshold is None else threshold,
            top_k=top_k,
            batch_size=batch_size,
        )


def load_onnx(path: str | Path) -> OnnxModel:
    """The model of a file that `export_model` wrote, ready to predict through onnxruntime on the CPU.

    Raises StorageError for a file that is damaged, not ours, or of answers (`decode=True`) rather than predictions.
    """
    file = user_path(path)
    if file.suffix.lower() != ".onnx":
        raise StorageError(f"{path}: a file that ends in .onnx is expected.")
    model = OnnxModel(OnnxSession(file))
    if model.metadata.decoded:
        raise StorageError(
            f"{path} was exported with decode=True: its outputs are answers in the input's pixels, for other programs. "
            f"The fix: export it with decode=False for `predict`."
        )
    return model
