"""One class for each kind of prediction: what `forward` is given and returns, in transformers' words and order."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from backbonekit.backbones.hf.expert_block import experts_of
from backbonekit.contract.maps import Canvas
from backbonekit.contract.predictions import BoxQueries, DenseDepth, DenseLogits, Heatmaps, MaskQueries, ModelOutput
from backbonekit.contract.target_values import check_relative
from backbonekit.contract.targets import Target
from backbonekit.errors import ContractError
from backbonekit.hf_models.box_states import BoxStates
from backbonekit.hf_models.call_options import decided, refuse
from backbonekit.hf_models.inner_states import InnerStates, recorded
from backbonekit.hf_models.loss_names import named_losses
from backbonekit.hf_models.mask_states import MaskStates
from backbonekit.hf_models.model_outputs import (
    BoxModelOutput,
    DenseModelOutput,
    DepthModelOutput,
    MaskModelOutput,
    OrderedOutput,
    PoseModelOutput,
)
from backbonekit.hf_models.recorded_calls import recorded_calls
from backbonekit.hf_models.whole_model import WholeModel
from backbonekit.layers.attention_weights import caught_weights
from backbonekit.ops.boxes import cxcywh_to_xyxy, image_sizes

Output = TypeVar("Output", bound=OrderedOutput)
Images = Float[Tensor, "batch channels height width"]
Mask = Bool[Tensor, "batch height width"] | Int[Tensor, "batch height width"] | None
BoxLabels = Sequence[Mapping[str, Tensor]] | None
Option = bool | None


class SetModel(WholeModel):
    """A model whose decoder reads the image into a set: of boxes, or of masks."""

    def _parts(self) -> BoxStates | MaskStates | None:
        raise NotImplementedError

    def _run_with_states(
        self,
        pixel_values: Tensor,
        pixel_mask: Tensor | None,
        targets: Sequence[Any] | None,
        output_hidden_states: Option,
        output_attentions: Option,
    ) -> tuple[ModelOutput, Mapping[str, Any]]:
        """The predictions and, by transformers' names, the last hidden states and what is requested. Raises
        ContractError where it is requested of parts that keep none."""
        states = decided("output_hidden_states", output_hidden_states, self.config.output_hidden_states)
        attentions = decided("output_attentions", output_attentions, self.config.output_attentions)
        parts = None if torch.compiler.is_compiling() else self._parts()
        if parts is not None:
            watched = parts.watched(states=states)
            weighing = caught_weights(parts.weighing()) if attentions else nullcontext()
            with recorded_calls(watched) as calls, weighing as weights:
                out = self._run(pixel_values, pixel_mask, targets)
            if len(calls) == len(watched):
                return out, parts.fields(out, calls, weights, states=states)
        if states or attentions:
            raise ContractError(
                f"{type(self).__name__} keeps no hidden states and no attention where its neck or head was replaced,"
                " wrapped or compiled. The fix: output_hidden_states=False, output_attentions=False, in the call or in"
                " model.config."
            )
        return (self._run(pixel_values, pixel_mask, targets) if parts is None else out), {}


class BoxModel(SetModel):
    """Finds objects: a set of boxes, each with a class."""

    def _parts(self) -> BoxStates | None:
        return BoxStates.of(self.model, self.config.model_type)

    def _detect(
        self,
        pixel_values: Tensor,
        pixel_mask: Tensor | None,
        labels: BoxLabels,
        output_hidden_states: Option,
        output_attentions: Option,
        return_dict: Option,
    ) -> BoxModelOutput | tuple[Any, ...]:
        targets: list[Target] | None = None
        if labels is not None:
            _check_count(len(labels), pixel_values)
            canvas = Canvas((pixel_values.shape[-2], pixel_values.shape[-1]), pixel_mask)
            sizes = image_sizes(canvas, pixel_values).expand(len(labels), 2).repeat(1, 2)
            for index, one in enumerate(labels):
                _check_labels(one, index)
            targets = [
                {"labels": one["class_labels"].long(), "boxes": cxcywh_to_xyxy(one["boxes"].to(sizes.dtype)) * size}
                for one, size in zip(labels, sizes, strict=True)
            ]
        out, states = self._run_with_states(pixel_values, pixel_mask, targets, output_hidden_states, output_attentions)
        prediction: BoxQueries = out.predictions  # type: ignore[assignment]
        earlier = None
        if prediction.auxiliary is not None:
            earlier = tuple(
                {"logits": one.class_logits, "pred_boxes": one.boxes_cxcywh} for one in prediction.auxiliary
            )
        found = BoxModelOutput(
            loss=out.loss,
            loss_dict=named_losses(self.config.model_type, out.losses),
            logits=prediction.class_logits,
            pred_boxes=prediction.boxes_cxcywh,
            auxiliary_outputs=earlier,
            feature_maps=out.feature_maps,
            **states,
        )
        return _returned(self, found, return_dict)


class DetrModel(BoxModel):
    """A detector with the call of DETR and Deformable DETR."""

    def forward(
        self,
        pixel_values: Images,
        pixel_mask: Mask = None,
        decoder_attention_mask: None = None,
        encoder_outputs: None = None,
        inputs_embeds: None = None,
        decoder_inputs_embeds: None = None,
        labels: BoxLabels = None,
        *,
        output_attentions: Option = None,
        output_hidden_states: Option = None,
        return_dict: Option = None,
    ) -> BoxModelOutput | tuple[Any, ...]:
        """`pixel_mask`: 1 where a real pixel is. `labels`: for each image `class_labels` [objects] and `boxes`
        [objects, 4], centre and size in [0, 1] of the image without its padding. `output_hidden_states`,
        `output_attentions`: those of the encoder and the decoder. `return_dict=False`: a tuple. Raises ContractError
        for what is not supported: the other arguments unless they are None or False."""
        refuse(
            self,
            decoder_attention_mask=decoder_attention_mask,
            encoder_outputs=encoder_outputs,
            inputs_embeds=inputs_embeds,
            decoder_inputs_embeds=decoder_inputs_embeds,
        )
        return self._detect(pixel_values, pixel_mask, labels, output_hidden_states, output_attentions, return_dict)


class RealTimeModel(BoxModel):
    """A detector with the call of RT-DETR and D-FINE."""

    def forward(
        self,
        pixel_values: Images,
        pixel_mask: Mask = None,
        encoder_outputs: None = None,
        inputs_embeds: None = None,
        labels: BoxLabels = None,
        *,
        output_attentions: Option = None,
        output_hidden_states: Option = None,
        return_dict: Option = None,
    ) -> BoxModelOutput | tuple[Any, ...]:
        """As `DetrModel.forward`."""
        refuse(self, encoder_outputs=encoder_outputs, inputs_embeds=inputs_embeds)
        return self._detect(pixel_values, pixel_mask, labels, output_hidden_states, output_attentions, return_dict)


class MaskModel(SetModel):
    """Segments images by a set of masks, each with a class."""

    def _parts(self) -> MaskStates | None:
        return MaskStates.of(self.model)

    def forward(
        self,
        pixel_values: Images,
        mask_labels: Sequence[Tensor] | None = None,
        class_labels: Sequence[Tensor] | None = None,
        pixel_mask: Mask = None,
        *,
        output_auxiliary_logits: Option = None,
        output_hidden_states: Option = None,
        output_attentions: Option = None,
        return_dict: Option = None,
    ) -> MaskModelOutput | tuple[Any, ...]:
        """`mask_labels`: for each image [masks, height, width], 1 inside; `class_labels`: for each image [masks].
        `pixel_mask`: 1 where a real pixel is. `output_auxiliary_logits`: predictions of earlier decoder layers; None
        is as configured, and None there where they are computed. `output_hidden_states`: of backbone, pixel decoder and
        transformer decoder; `output_attentions`: of the transformer decoder's queries to each other.
        `return_dict=False`: a tuple. Raises ContractError for predictions of earlier layers that are not computed."""
        targets = mask_targets(mask_labels, class_labels)
        out, states = self._run_with_states(pixel_values, pixel_mask, targets, output_hidden_states, output_attentions)
        prediction: MaskQueries = out.predictions  # type: ignore[assignment]
        earlier = earlier_masks(prediction.auxiliary)
        configured: bool | None = self.config.output_auxiliary_logits
        returns_earlier = configured if output_auxiliary_logits is None else output_auxiliary_logits
        if returns_earlier and earlier is None:
            raise ContractError(
                f"{type(self).__name__} computes no predictions of earlier layers here: it does so in training or with"
                " labels, with use_auxiliary_loss=True in its configuration. The fix: output_auxiliary_logits=False in"
                " the call, or None in model.config."
            )
        found = MaskModelOutput(
            loss=out.loss,
            class_queries_logits=prediction.class_logits,
            masks_queries_logits=prediction.mask_logits,
            auxiliary_logits=None if returns_earlier is False else earlier,
            feature_maps=out.feature_maps,
            loss_dict=named_losses(self.config.model_type, out.losses),
            **states,
        )
        return _returned(self, found, return_dict)


class MapModel(WholeModel):
    """A model that predicts a map, and can return the hidden states and the attention of its backbone."""

    def _run_with_states(
        self,
        pixel_values: Tensor,
        pixel_mask: Tensor | None,
        targets: Sequence[Any] | None,
        output_hidden_states: Option,
        output_attentions: Option,
    ) -> tuple[ModelOutput, InnerStates]:
        states = decided("output_hidden_states", output_hidden_states, self.config.output_hidden_states)
        attentions = decided("output_attentions", output_attentions, self.config.output_attentions)
        backbone: Any = self.model.backbone
        wanted = recorded(backbone, states=states, attentions=attentions) if states or attentions else None
        with nullcontext(InnerStates()) if wanted is None else wanted as inner:
            out = self._run(pixel_values, pixel_mask, targets)
        return out, inner


class DenseModel(MapModel):
    """Predicts a class for every pixel."""

    def forward(
        self,
        pixel_values: Images,
        output_attentions: Option = None,
        output_hidden_states: Option = None,
        labels: Int[Tensor, "batch height width"] | None = None,
        return_dict: Option = None,
        *,
        pixel_mask: Mask = None,
    ) -> DenseModelOutput | tuple[Any, ...]:
        """`labels`: the class of each pixel, `loss_ignore_index` (255) where unlabelled. `output_hidden_states`,
        `output_attentions`: those of the backbone. `return_dict=False`: a tuple. `pixel_mask`: 1 where a real pixel
        is."""
        targets = None if labels is None else [{"segmentation": one} for one in labels.long()]
        out, inner = self._run_with_states(pixel_values, pixel_mask, targets, output_hidden_states, output_attentions)
        prediction: DenseLogits = out.predictions  # type: ignore[assignment]
        found = DenseModelOutput(
            loss=out.loss,
            logits=prediction.logits,
            hidden_states=inner.hidden_states,
            attentions=inner.attentions,
            feature_maps=out.feature_maps,
            loss_dict=out.losses,
        )
        return _returned(self, found, return_dict)


class DepthModel(MapModel):
    """Predicts a depth for every pixel."""

    def forward(
        self,
        pixel_values: Images,
        labels: Float[Tensor, "batch height width"] | None = None,
        output_attentions: Option = None,
        output_hidden_states: Option = None,
        return_dict: Option = None,
        *,
        pixel_mask: Mask = None,
    ) -> DepthModelOutput | tuple[Any, ...]:
        """`labels`: depth, 0 or NaN where unknown; transformers trains no depth. For the others see
        `DenseModel.forward`."""
        targets = None if labels is None else [{"depth": one} for one in labels]
        out, inner = self._run_with_states(pixel_values, pixel_mask, targets, output_hidden_states, output_attentions)
        prediction: DenseDepth = out.predictions  # type: ignore[assignment]
        found = DepthModelOutput(
            loss=out.loss,
            predicted_depth=prediction.depth,
            hidden_states=inner.hidden_states,
            attentions=inner.attentions,
            feature_maps=out.feature_maps,
            loss_dict=out.losses,
        )
        return _returned(self, found, return_dict)


class PoseModel(MapModel):
    """Finds the keypoints of the one person in an image."""

    def forward(
        self,
        pixel_values: Images,
        dataset_index: Int[Tensor, " batch"] | None = None,
        flip_pairs: Int[Tensor, "pairs 2"] | None = None,
        labels: Float[Tensor, "batch keypoints 3"] | None = None,
        *,
        pixel_mask: Mask = None,
        output_attentions: Option = None,
        output_hidden_states: Option = None,
        return_dict: Option = None,
    ) -> PoseModelOutput | tuple[Any, ...]:
        """`dataset_index`: of a ViTPose++ the data set whose experts see each image; others take none.
        `flip_pairs`: for images that were mirrored, the keypoints that change positions (left and right eye); the
        heatmaps are then those of the images before. `labels`: x, y in pixels of the input and visibility (0:
        unlabelled) of each keypoint; transformers trains no poses. For the others see `DenseModel.forward`."""
        targets = None if labels is None else [{"keypoints": one[None]} for one in labels]
        with experts_of(self.model.backbone, dataset_index, len(pixel_values)):
            out, inner = self._run_with_states(
                pixel_values, pixel_mask, targets, output_hidden_states, output_attentions
            )
        prediction: Heatmaps = out.predictions  # type: ignore[assignment]
        heatmaps = prediction.heatmaps
        found = PoseModelOutput(
            loss=out.loss,
            heatmaps=heatmaps if flip_pairs is None else mirrored_back(heatmaps, flip_pairs),
            hidden_states=inner.hidden_states,
            attentions=inner.attentions,
            feature_maps=out.feature_maps,
            loss_dict=out.losses,
        )
        return _returned(self, found, return_dict)


def mirrored_back(heatmaps: Tensor, flip_pairs: Tensor) -> Tensor:
    """[batch, keypoints, height, width] of mirrored images, as of the images before. `flip_pairs`: [pairs, 2]."""
    order = list(range(heatmaps.shape[1]))
    for left, right in flip_pairs.tolist():
        if not (0 <= left < len(order) and 0 <= right < len(order)):
            raise ContractError(f"flip_pairs has the pair {[left, right]}, but there are {len(order)} keypoints.")
        order[left], order[right] = right, left
    return heatmaps[:, order].flip(-1)


def mask_targets(mask_labels: Sequence[Tensor] | None, class_labels: Sequence[Tensor] | None) -> list[Target] | None:
    """Targets of the contract. Raises ContractError where one of the two is missing, or of other images."""
    if mask_labels is None and class_labels is None:
        return None
    if mask_labels is None or class_labels is None or len(mask_labels) != len(class_labels):
        given = [0 if labels is None else len(labels) for labels in (mask_labels, class_labels)]
        raise ContractError(
            f"mask_labels of {given[0]} images and class_labels of {given[1]}; a loss requires both for every image."
        )
    return [
        {"labels": classes.long(), "masks": masks != 0}
        for masks, classes in zip(mask_labels, class_labels, strict=True)
    ]


def earlier_masks(auxiliary: tuple[MaskQueries, ...] | None) -> tuple[dict[str, Tensor], ...] | None:
    """Predictions of earlier decoder layers under transformers' names."""
    if auxiliary is None:
        return None
    return tuple(
        {"class_queries_logits": layer.class_logits, "masks_queries_logits": layer.mask_logits} for layer in auxiliary
    )


def _check_count(given: int, pixel_values: Tensor) -> None:
    if given != len(pixel_values):
        raise ContractError(f"labels of {given} images for a batch of {len(pixel_values)}; give one for each image.")


def _returned(model: WholeModel, found: Output, return_dict: Option) -> Output | tuple[Any, ...]:
    return found if decided("return_dict", return_dict, model.config.return_dict) else found.to_tuple()


def _check_labels(labels: Any, image: int) -> None:
    missing = [key for key in ("boxes", "class_labels") if key not in labels]
    if missing:
        raise ContractError(
            f"labels[{image}] has no {' and no '.join(missing)}; labels of an image are class_labels [objects] and "
            "boxes [objects, 4], centre and size in 0..1 of the image; "
            f"given: {', '.join(map(repr, labels)) or 'nothing'}."
        )
    check_relative(labels["boxes"].reshape(-1, 4), image=image)
