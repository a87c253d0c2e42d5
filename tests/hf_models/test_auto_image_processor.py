"""`AutoImageProcessor`: files of transformers, of ours and of timm; inputs and results equal to transformers'."""

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as functional
from huggingface_hub import constants
from PIL import Image

import backbonekit
from backbonekit import ModelOutput
from backbonekit.contract.predictions import DenseDepth, DenseLogits, MaskQueries
from backbonekit.errors import ContractError, StorageError
from backbonekit.hf_models import AutoImageProcessor
from tests.hf_cache import cache_repository

SIZES = [(33, 47), (120, 80), (61, 61), (97, 301)]
MASKFORMER = {
    "image_processor_type": "MaskFormerImageProcessor",
    "size": {"shortest_edge": 64, "longest_edge": 128},
    "size_divisor": 32,
}


def make_images(sizes=SIZES) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def processor_of(folder: Path, **fields) -> AutoImageProcessor:
    (folder / "preprocessor_config.json").write_text(json.dumps({**MASKFORMER, **fields}))
    return AutoImageProcessor.from_pretrained(folder)


def queries(seed: int = 0) -> MaskQueries:
    """Few classes, smooth masks, and every image with something to find."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(2, 6, 4, 5, generator=generator) * 6
    masks = functional.interpolate(coarse, size=(24, 30), mode="bicubic")
    return MaskQueries(torch.randn(2, 6, 4, generator=generator) * 3, masks)


def test_the_call_of_the_guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "swin").mkdir()
    file = {"image_processor_type": "ViTFeatureExtractor", "size": 224, "resample": 3}
    (tmp_path / "swin" / "preprocessor_config.json").write_text(json.dumps(file))
    cache_repository(tmp_path / "hub", "microsoft/swin-tiny-patch4-window7-224", tmp_path / "swin")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    processor = AutoImageProcessor.from_pretrained("microsoft/swin-tiny-patch4-window7-224")
    inputs = processor(Image.new("RGB", (64, 48), "navy"), return_tensors="pt")
    assert list(inputs) == ["pixel_values"]
    assert inputs["pixel_values"].shape == inputs.pixel_values.shape == (1, 3, 224, 224)
    assert inputs.to("cpu").pixel_values.dtype == torch.float32
    assert isinstance(processor(make_images(), return_tensors="np").pixel_values, np.ndarray)
    with pytest.raises(ContractError, match="'pt'"):
        processor(make_images(), return_tensors="tf")


def test_timm_by_name_and_by_folder(tmp_path: Path) -> None:
    named = AutoImageProcessor.from_pretrained("timm/resnet50.a1_in1k")
    expected = timm.data.resolve_model_data_config(timm.create_model("resnet50.a1_in1k"))
    assert named.processing.crop == expected["input_size"][1:]
    assert named.processing.mean == expected["mean"]
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "test_resnet"}))
    assert AutoImageProcessor.from_pretrained(tmp_path)(make_images()).pixel_values.shape == (4, 3, 160, 160)


def test_a_folder_of_ours_prepares_as_its_model_does(tmp_path: Path) -> None:
    overrides = ["backbone=timm/test_resnet", "processing.shortest_edge=64", "processing.longest_edge=96"]
    model = backbonekit.build_model("fcn_resnet50", overrides)
    model.save_pretrained(tmp_path / "m1")
    ours, inputs = model.processor(make_images()), AutoImageProcessor.from_pretrained(tmp_path / "m1")(make_images())
    assert torch.equal(inputs.pixel_values, ours["pixel_values"])
    assert torch.equal(inputs.pixel_mask, ours["pixel_mask"].long())


def test_what_is_missing_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"has no preprocessor_config\.json"):
        AutoImageProcessor.from_pretrained(tmp_path)
    with pytest.raises(StorageError, match="ignore_index 'x'"):
        processor_of(tmp_path, ignore_index="x")


def test_maps_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    processor = processor_of(tmp_path)
    images = make_images([(20, 30)])
    with pytest.raises(ContractError, match="2 segmentation maps"):
        processor(images, [np.zeros((20, 30))] * 2)
    with pytest.raises(ContractError, match=r"shape \[30, 20\], its image 20 x 30"):
        processor(images, np.zeros((30, 20)))
    with pytest.raises(ContractError, match="an ignore_index, such as 255"):
        processor(images, np.zeros((20, 30)), do_reduce_labels=True)
    with pytest.raises(ContractError, match="no class for instance 7"):
        processor(images, np.full((20, 30), 7), instance_id_to_semantic_id={1: 2})
    with pytest.raises(ContractError, match="2 instance_id_to_semantic_id for 1"):
        processor(images, np.full((20, 30), 7), instance_id_to_semantic_id=[{7: 2}] * 2)


def test_padding_is_in_no_mask(tmp_path: Path) -> None:
    images = make_images([(64, 64), (64, 128)])
    inputs = processor_of(tmp_path)(images, [np.full((64, 64), 3), np.full((64, 128), 1)])
    assert inputs.pixel_mask.sum((1, 2)).tolist() == [64 * 64, 64 * 128]
    assert torch.equal(inputs.mask_labels[0][0], inputs.pixel_mask[0].float())
    assert [labels.tolist() for labels in inputs.class_labels] == [[3], [1]]


def test_an_image_without_any_label_has_no_mask(tmp_path: Path) -> None:
    inputs = processor_of(tmp_path, ignore_index=255)(make_images([(64, 64)]), [np.full((64, 64), 255)])
    assert (inputs.mask_labels[0].shape, inputs.class_labels[0].shape) == ((0, 64, 64), (0,))


def test_outputs_of_every_form_are_read(tmp_path: Path) -> None:
    processor, prediction = processor_of(tmp_path), queries()
    named = {"class_queries_logits": prediction.class_logits, "masks_queries_logits": prediction.mask_logits}
    expected = processor.post_process_semantic_segmentation(prediction)
    for outputs in (named, ModelOutput((), predictions=prediction)):
        given = processor.post_process_semantic_segmentation(outputs)
        assert all(torch.equal(one, other) for one, other in zip(given, expected, strict=True))
    logits = torch.randn(1, 3, 4, 6)
    (dense,) = processor.post_process_semantic_segmentation(DenseLogits(logits), [(8, 12)])
    assert torch.equal(dense, functional.interpolate(logits, size=(8, 12), mode="bilinear")[0].argmax(0))
    (depth,) = processor.post_process_depth_estimation({"predicted_depth": torch.ones(1, 4, 6)}, [(8, 12)])
    assert torch.allclose(depth["predicted_depth"], torch.ones(8, 12))
    with pytest.raises(ContractError, match=r"logits are required; given: dict with logits \[1, 5, 3\]\."):
        processor.post_process_semantic_segmentation(
            {"logits": torch.ones(1, 5, 3), "pred_masks": torch.ones(1, 5, 4, 4)}
        )
    with pytest.raises(ContractError, match="given: DenseDepth"):
        processor.post_process_instance_segmentation(DenseDepth(torch.ones(1, 4, 6)))
    with pytest.raises(ContractError, match="1 target_sizes for 2"):
        processor.post_process_panoptic_segmentation(prediction, target_sizes=[(3, 4)])


def test_where_instances_overlap_the_better_one_is_seen(tmp_path: Path) -> None:
    prediction = MaskQueries(torch.tensor([[[3.0, 0, 0], [0, 9.0, 0]]]), torch.full((1, 2, 4, 4), 9.0))
    (result,) = processor_of(tmp_path).post_process_instance_segmentation(prediction)
    assert result["segmentation"].unique().tolist() == [0]
    assert [segment["label_id"] for segment in result["segments_info"]] == [1, 0]
    (none,) = processor_of(tmp_path).post_process_instance_segmentation(prediction, threshold=1.0)
    assert none["segmentation"].unique().tolist() == [-1]
    assert none["segments_info"] == []


@pytest.mark.parity
def test_run_lengths_are_those_of_transformers(reference, tmp_path: Path) -> None:
    theirs, ours = reference("maskformer", "MaskFormerImageProcessorPil"), processor_of(tmp_path)
    generator = torch.Generator().manual_seed(0)
    for count in (1, 2):  # of two that do not overlap the order is left open
        masks = torch.randn(1, count, 5, 6, generator=generator) * 9
        prediction = MaskQueries(
            torch.tensor([[[9.0, 0, 0]] * count]), masks * torch.tensor([1, -1])[:count, None, None]
        )
        options = {"target_sizes": [(10, 12)], "return_coco_annotation": True}
        (found,) = ours.post_process_instance_segmentation(prediction, 0.1, **options)
        (expected,) = theirs.post_process_instance_segmentation(Outputs(prediction), 0.1, **options)
        assert len(found["segmentation"]) >= 2
        if count == 1:
            assert found["segmentation"] == [list(map(int, runs)) for runs in expected["segmentation"]]
        with pytest.raises(ContractError, match="two forms of one result"):
            ours.post_process_instance_segmentation(prediction, return_binary_maps=True, **options)
        with pytest.raises(ContractError, match="no effect on instances"):
            ours.post_process_instance_segmentation(prediction, 0.5, 0.3)


def test_regions_of_one_stuff_class_are_one_segment(tmp_path: Path) -> None:
    masks = torch.full((1, 3, 6, 6), -9.0)
    masks[0, 0, :, :2], masks[0, 1, :, 2:4], masks[0, 2, :, 4:] = 9, 9, 9
    classes = torch.tensor([[[9.0, 0, 0], [0, 9.0, 0], [9.0, 0, 0]]])
    processor, prediction = processor_of(tmp_path), MaskQueries(classes, masks)
    (fused,) = processor.post_process_panoptic_segmentation(prediction, label_ids_to_fuse={0})
    assert fused["segmentation"][0].tolist() == [1, 1, 2, 2, 1, 1]
    assert [(info["id"], info["label_id"], info["was_fused"]) for info in fused["segments_info"]] == [
        (1, 0, True),
        (2, 1, False),
    ]
    (apart,) = processor.post_process_panoptic_segmentation(prediction)
    assert apart["segmentation"][0].tolist() == [1, 1, 2, 2, 3, 3]


@pytest.fixture
def reference():
    """An image processor of transformers in its Pillow form."""
    pytest.importorskip("transformers")

    def make(folder: str, name: str, **options):
        return getattr(pytest.importorskip(f"transformers.models.{folder}.image_processing_pil_{folder}"), name)(
            **options
        )

    return make


@pytest.mark.parity
@pytest.mark.parametrize(
    ("folder", "name", "options"),
    [
        ("vit", "ViTImageProcessorPil", {"size": {"height": 32, "width": 56}}),
        ("convnext", "ConvNextImageProcessorPil", {"size": {"shortest_edge": 56}, "crop_pct": 0.875}),
        ("convnext", "ConvNextImageProcessorPil", {"size": {"shortest_edge": 384}}),
        ("bit", "BitImageProcessorPil", {"size": {"shortest_edge": 50}, "crop_size": {"height": 44, "width": 40}}),
        ("maskformer", "MaskFormerImageProcessorPil", {"size": MASKFORMER["size"]}),
    ],
)
def test_a_saved_file_prepares_as_transformers_does(folder, name, options, reference, tmp_path: Path) -> None:
    theirs = reference(folder, name, **options)
    theirs.save_pretrained(tmp_path)
    expected, given = (
        theirs(make_images(), return_tensors="pt"),
        AutoImageProcessor.from_pretrained(tmp_path)(make_images()),
    )
    assert set(given) == set(expected)
    assert (given.pixel_values - expected["pixel_values"]).abs().max() < 1e-5
    if "pixel_mask" in expected:
        assert torch.equal(given.pixel_mask, expected["pixel_mask"])


@pytest.mark.parity
@pytest.mark.parametrize("reduces", [False, True])
@pytest.mark.parametrize("instances", [False, True])
def test_segmentation_maps_become_the_same_masks(reduces, instances, reference, tmp_path: Path) -> None:
    theirs = reference(
        "maskformer",
        "MaskFormerImageProcessorPil",
        size=MASKFORMER["size"],
        do_reduce_labels=reduces,
        ignore_index=255,
    )
    theirs.save_pretrained(tmp_path)
    ours = AutoImageProcessor.from_pretrained(tmp_path)
    assert (ours.do_reduce_labels, ours.ignore_index) == (reduces, 255)
    images = make_images([(70, 90), (140, 180)])  # both become 64 x 96
    generator = np.random.default_rng(3)
    maps = [generator.choice([0, 1, 4, 9, 255], size=image.shape[:2]).astype(np.uint8) for image in images]
    table = {0: 0, 1: 3, 4: 3, 9: 2, 10: 2, 5: 3, 2: 1, 255: 1, 256: 1} if instances else None
    expected = theirs(images, segmentation_maps=maps, instance_id_to_semantic_id=table, return_tensors="pt")
    given = ours(images, segmentation_maps=maps, instance_id_to_semantic_id=table)
    for key in ("mask_labels", "class_labels"):
        for one, other in zip(given[key], expected[key], strict=True):
            assert one.dtype == other.dtype
            # There the ignored 255 is reduced too and becomes a label, 254, the last one. Here it stays ignored.
            assert torch.equal(one, other[:-1] if reduces else other), key
    if reduces and not instances:
        assert all(labels[-1] == 254 for labels in expected["class_labels"])


def test_what_is_ignored_stays_no_class_when_labels_are_reduced(tmp_path: Path) -> None:
    processor = processor_of(tmp_path, do_reduce_labels=True, ignore_index=255)
    labels = np.repeat(np.array([0, 1, 2, 255]), 16)[None].repeat(64, 0)
    given = processor(make_images([(64, 64)]), labels)
    assert given.class_labels[0].tolist() == [0, 1]
    assert given.mask_labels[0].sum((1, 2)).tolist() == [64 * 16, 64 * 16]


def test_only_what_is_floating_is_cast(tmp_path: Path) -> None:
    inputs = processor_of(tmp_path)(make_images([(64, 64)]), np.full((64, 64), 2049))
    for half in (
        inputs.to(torch.float16),
        inputs.to("cpu", torch.float16),
        inputs.to(device="cpu", dtype=torch.float16),
    ):
        assert half.pixel_values.dtype == half.mask_labels[0].dtype == torch.float16
        assert half.pixel_mask.dtype == torch.int64
        assert half.class_labels[0].tolist() == [2049]
    assert inputs.pixel_values.dtype == torch.float32
    with pytest.raises(ContractError, match=r"cannot be cast to torch\.int64"):
        inputs.to(torch.int64)


class Outputs:
    def __init__(self, prediction: MaskQueries) -> None:
        self.class_queries_logits, self.masks_queries_logits = prediction.class_logits, prediction.mask_logits


@pytest.mark.parity
@pytest.mark.parametrize("target_sizes", [None, [(50, 61), (24, 30)]])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["MaskFormer", "Mask2Former"])
def test_results_equal_those_of_transformers(kind, target_sizes, seed, reference, tmp_path: Path) -> None:
    theirs = reference(kind.lower(), f"{kind}ImageProcessorPil")
    ours = processor_of(tmp_path, image_processor_type=f"{kind}ImageProcessor")
    prediction = queries(seed)
    outputs = Outputs(prediction)

    semantic = theirs.post_process_semantic_segmentation(outputs, target_sizes)
    for one, other in zip(ours.post_process_semantic_segmentation(prediction, target_sizes), semantic, strict=True):
        assert (one != other).float().mean() < 1e-3  # a tie on a border
    options = {"threshold": 0.3, "target_sizes": target_sizes}
    instance = theirs.post_process_instance_segmentation(outputs, **options, return_binary_maps=True)
    given = ours.post_process_instance_segmentation(prediction, **options, return_binary_maps=True)
    found = 0
    for one, other in zip(given, instance, strict=True):
        # transformers leaves the order open.
        order = sorted(
            range(len(other["segments_info"])), key=lambda position: -other["segments_info"][position]["score"]
        )
        infos = [other["segments_info"][position] for position in order]
        assert [info["label_id"] for info in one["segments_info"]] == [info["label_id"] for info in infos]
        for mine, yours in zip(one["segments_info"], infos, strict=True):
            assert abs(mine["score"] - yours["score"]) < 1e-5
        if infos:
            assert torch.equal(one["segmentation"], other["segmentation"][order].bool())
        found += len(infos)
    panoptic = theirs.post_process_panoptic_segmentation(
        outputs, **options, overlap_mask_area_threshold=0.3, label_ids_to_fuse=set()
    )
    given = ours.post_process_panoptic_segmentation(prediction, **options, overlap_mask_area_threshold=0.3)
    for one, other in zip(given, panoptic, strict=True):
        keys = ("id", "label_id", "was_fused")
        assert [[info[key] for key in keys] for info in one["segments_info"]] == [
            [info[key] for key in keys] for info in other["segments_info"]
        ]
        assert (one["segmentation"] != other["segmentation"].clamp(min=0)).float().mean() < 1e-3
        found += len(other["segments_info"])
    assert found


@pytest.mark.parity
@pytest.mark.parametrize(
    "form", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "file", "array", "first", "float", "grey"]
)
def test_every_form_of_an_image_is_prepared_as_transformers_does(form, reference, tmp_path: Path) -> None:
    theirs = reference("vit", "ViTImageProcessorPil", size={"height": 32, "width": 24}, do_convert_rgb=True)
    theirs.save_pretrained(tmp_path)
    ours = AutoImageProcessor.from_pretrained(tmp_path)
    (colours,) = make_images([(40, 30)])
    image = Image.fromarray(colours)
    if form == "file":
        image.save(tmp_path / "image.png")
        given, other = tmp_path / "image.png", image
    elif form == "array":
        given = other = colours
    elif form == "first":
        given, other = torch.from_numpy(colours).permute(2, 0, 1), colours
    elif form == "float":
        given, other = torch.from_numpy(colours).permute(2, 0, 1) / 255, colours
    elif form == "grey":
        given, other = colours[..., 0], Image.fromarray(colours[..., 0])
    else:
        given = other = image.convert(form)
    expected = theirs(other, return_tensors="pt")["pixel_values"]
    found = ours(given)["pixel_values"]
    # A float image is resampled as floats and not rounded back to 8 bits.
    allowed = 1.01 / 255 / 0.5 if form == "float" else 1e-5
    assert (found - expected).abs().max() <= allowed


def test_sixteen_bits_and_mixed_forms_go_into_one_batch(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "ViTImageProcessor", "size": 16, "do_normalize": False})
    )
    processor = AutoImageProcessor.from_pretrained(tmp_path)
    deep = np.full((20, 30), 32_768, dtype=np.uint16)
    given = processor([deep, Image.fromarray(deep), np.full((9, 9, 3), 128, np.uint8), torch.full((3, 5, 5), 0.5)])
    assert given.pixel_values.shape == (4, 3, 16, 16)
    assert (given.pixel_values - 0.5).abs().max() < 0.003
