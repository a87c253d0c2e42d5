"""From a person's segmentation to loss and result: one class, the ignored label, labels of the files, kinds of maps."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

import backbonekit as bk
from backbonekit.errors import ContractError, RecipeError
from backbonekit.postprocessing.coco import CocoResults
from backbonekit.postprocessing.result_kinds import summarise
from tests.assembly.recipes import RESNET, maskformer
from tests.assembly.test_segmenter_models import HEADS

UNCHANGED = {"longest_edge": 80}  # images of 64 x 80 keep their size
DENSE = {**HEADS, "fcn": {"name": "fcn", "auxiliary": True}}


def build(head="fcn", overrides=(), **options):
    return bk.build_model(
        {"backbone": RESNET, "head": {**DENSE[head], **options}, "processing": UNCHANGED}, list(overrides)
    )


def last(model):
    """The layer whose output are the logits."""
    classifier = model.head.classifier
    return classifier if isinstance(classifier, torch.nn.Conv2d) else classifier.classifier


def image(height=64, width=80, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


def stripes(height=64, width=80, label=1):
    labels = np.zeros((height, width), dtype=np.uint8)
    labels[:, width // 2 :] = label
    return labels


@pytest.mark.parametrize("head", sorted(DENSE))
def test_one_class_is_learned_and_found(head):
    model = build(head, num_classes=1).train()
    assert model.scoring() == "sigmoid"
    out = model(**model.processor([image(), image(seed=1)], [{"segmentation": stripes()}] * 2))
    assert out.predictions.logits.shape[1] == 1
    out.loss.backward()
    assert 0.3 < out.losses["cross_entropy"].item() < 3
    gradient = last(model).weight.grad
    assert gradient.isfinite().all()
    assert gradient.any()
    with torch.no_grad():
        for bias, found in ((100.0, 1), (-100.0, 0)):
            last(model).bias.fill_(bias)
            (result,) = model.predict([image()])
            assert (result.segmentation == found).all()
            assert (result.classes() == found - 1).all()
    assert (model.predict([image()], threshold=0.0)[0].segmentation == 1).all()


def test_training_one_class_separates_it():
    torch.manual_seed(0)
    model = build(num_classes=1, dropout=0.0, criterion={"name": "dense_cross_entropy", "dice_weight": 1.0}).train()
    image = np.zeros((64, 64, 3), dtype=np.uint8)
    image[:, 32:] = 255
    batch = model.processor([image], [{"segmentation": stripes(64, 64)}])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(25):
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()
    (result,) = model.eval().predict([image])
    assert (result.segmentation[:, 44:] == 1).float().mean() > 0.9
    assert (result.segmentation[:, :20] == 0).float().mean() > 0.9


def test_one_class_in_words_and_files(tmp_path):
    model = bk.build_model({"backbone": RESNET, "head": {**DENSE["fcn"]}, "processing": UNCHANGED, "labels": ["crack"]})
    with torch.no_grad():
        last(model).bias.fill_(100.0)
    (result,) = model.predict([image()])
    assert summarise(result, model.labels) == "crack 100%"
    blank = Image.new("RGB", (80, 64))
    assert bk.draw(blank, result, model.labels).tobytes() != blank.tobytes()
    files = CocoResults(tmp_path / "found.json", model.labels)
    files.add("a.png", (64, 80), result)
    (entry,) = files.annotations
    assert entry["segments_info"] == [{"id": 1, "category_id": 0, "area": 64 * 80}]
    assert np.unique(np.array(Image.open(tmp_path / entry["file_name"]))).tolist() == [1]


@pytest.mark.parametrize("scored", [{"num_classes": 1}, {"num_classes": 3, "criterion": {"multi_label": True}}])
def test_classification_of_one_class_and_of_several_labels(scored):
    model = bk.build_model(
        {"backbone": RESNET, "head": {"name": "classification", **scored}, "processing": UNCHANGED}
    ).train()
    assert model.scoring() == "sigmoid"
    count = scored["num_classes"]
    target = 1 if count == 1 else [1, 0, 1]
    out = model(**model.processor([image()], [{"class": target}]))
    out.loss.backward()
    assert model.head.classifier.weight.grad.any()
    with torch.no_grad():
        model.head.classifier.bias.copy_(torch.tensor([9.0, -9.0, 9.0])[:count])
    (result,) = model.predict([image()])
    assert sorted(result.labels.tolist()) == [number for number in (0, 2) if number < count]
    assert (result.scores > 0.5).all()


@pytest.mark.parametrize("label", [-1, 0, 254, 255])
@pytest.mark.parametrize("name", ["fcn", "maskformer"])
def test_padding_has_the_ignored_label_and_is_no_class(name, label):
    """The loss of a batch with padding is that with the padding relabelled by hand."""
    if name == "fcn":
        model = build(num_classes=300, overrides=[f"processing.ignore_label={label}"])
    else:
        model = bk.build_model(
            "maskformer_digits",
            ["head.num_classes=300", f"processing.ignore_label={label}", "labels=null", "processing.longest_edge=80"],
        )
    assert model.criterion.ignore_label == model.processor.ignore_label == label
    labels = np.random.default_rng(0).integers(10, 20, (64, 80))
    labels[:5] = label
    targets = [{"segmentation": labels[:40]}, {"segmentation": labels[:, :50]}]
    batch = model.processor([image()[:40], image()[:, :50]], targets)
    padding = ~batch["pixel_mask"]
    assert padding.any()
    for one, out in zip(batch["targets"], padding, strict=True):
        assert (one["segmentation"][out] == label).all()
    with torch.no_grad():
        expected = model(**batch).losses
        for other in (255, 11, -1):
            relabelled = [
                {"segmentation": one["segmentation"].masked_fill(out, other)}
                for one, out in zip(batch["targets"], padding, strict=True)
            ]
            torch.testing.assert_close(model(**{**batch, "targets": relabelled}).losses, expected)


def test_the_ignored_label_is_one_field_wherever_it_was_written():
    """Recipes that have it at the criterion open with the same numbers."""
    old = build(num_classes=20, criterion={"name": "dense_cross_entropy", "ignore_label": -1})
    new = build(num_classes=20, overrides=["processing.ignore_label=-1"])
    written = old.recipe.to_dict()
    assert written["processing"]["ignore_label"] == -1
    assert "ignore_label" not in written["head"]["criterion"]
    labels = stripes(label=7).astype(np.int64)
    labels[:9] = -1
    losses = []
    for model in (old, new):
        batch = model.processor([image()[:40], image()], [{"segmentation": labels[:40]}, {"segmentation": labels}])
        losses.append(model(**batch).losses)
    torch.testing.assert_close(losses[0], losses[1])
    with pytest.raises(RecipeError, match=r"criterion.ignore_label is 3 and processing.ignore_label is -1.*The fix"):
        build(num_classes=20, overrides=["processing.ignore_label=-1", "head.criterion.ignore_label=3"])


def test_the_usual_ignored_label_follows_the_number_of_classes(tmp_path):
    model = build(num_classes=255)
    assert (model.criterion.ignore_label, model.processor.ignore_label) == (255, 255)
    model.save_pretrained(tmp_path / "model")
    larger = bk.load_model(tmp_path / "model", ["head.num_classes=300"])
    assert (larger.criterion.ignore_label, larger.processor.ignore_label) == (-1, -1)


def test_an_ignored_class_is_noted():
    notes = build(num_classes=3, overrides=["processing.ignore_label=0"]).weight_report.notes
    assert any("ignore_label=0 is class 0 of 3" in note for note in notes)


def test_labels_of_the_files_become_classes(tmp_path):
    model = build(num_classes=3, overrides=["processing.label_map={0: ignore, 7: 0, 11: 1, 255: 2}"])
    files = np.array([[0, 7, 11, 255, 1]], dtype=np.uint8).repeat(64, 0).repeat(16, 1)
    for trained in (model, bk.load_model(model.save_pretrained(tmp_path / "model"))):
        batch = trained.processor([image()], [{"segmentation": files}])
        assert batch["targets"][0]["segmentation"][0, ::16].tolist() == [255, 0, 1, 2, 1]
        sample = {"pixel_values": torch.zeros(3, 64, 80), "target": {"segmentation": files}}
        assert trained.processor.collate([sample])["targets"][0]["segmentation"][0, ::16].tolist() == [255, 0, 1, 2, 1]


def test_labels_of_objects_are_mapped_too():
    label_map = "processing.label_map={3: ignore, 7: 0}"
    model = bk.build_model(maskformer(RESNET, processing=UNCHANGED), [label_map])
    boxes = torch.tensor([[0.0, 0, 9, 9], [5, 5, 20, 20], [8, 8, 30, 30]])
    target = {"labels": [7, 3, 2], "boxes": boxes, "masks": torch.ones(3, 64, 80)}
    (moved,) = model.processor([image()], [target])["targets"]
    assert moved["labels"].tolist() == [0, 2]
    assert len(moved["boxes"]) == len(moved["masks"]) == 2
    head = {"name": "classification", "num_classes": 3}
    model = bk.build_model({"backbone": RESNET, "head": head, "processing": UNCHANGED}, [label_map])
    ignored, known = model.processor([image(), image()], [{"class": 3}, {"class": 7}])["targets"]
    assert ignored["class"].shape == (0,)
    assert known["class"] == 0


def test_a_batch_of_ignored_classes_adds_nothing():
    head = {"name": "classification", "num_classes": 3}
    recipe = {"backbone": RESNET, "head": head, "processing": UNCHANGED}
    model = bk.build_model(recipe, ["processing.label_map={3: ignore}"]).train()
    batch = model.processor([image(), image()], [{"class": 3}, {"class": 3}])
    loss = model(**batch).loss
    loss.backward()
    assert loss == 0
    assert all(each.grad is not None and not each.grad.any() for each in model.head.parameters())
    alone = model.eval()(**model.processor([image()], [{"class": 1}])).loss
    mixed = model(**model.processor([image(), image()], [{"class": 3}, {"class": 1}])).loss
    assert mixed.item() == pytest.approx(alone.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("label_map", "message"),
    [
        ("{7: 3}", "label_map.7: given 3, which is no class: they run from 0 to 2"),
        ("{a: 1}", "the key 'a' must be the number of a label"),
        ("{07: 1}", "the key '07' must be the number of a label"),
        ("{7: skip}", "label_map.7: given 'skip', must be a whole number from 0 to 100,000 or one of ignore"),
    ],
)
def test_a_label_map_is_checked(label_map, message):
    with pytest.raises(RecipeError, match=message):
        build(num_classes=3, overrides=[f"processing.label_map={label_map}"])


@pytest.mark.parametrize("num_classes", [1, 2])
def test_a_mask_of_0_and_255_is_right_or_refused(num_classes):
    mask = [{"segmentation": stripes(label=255)}]
    with pytest.raises(ContractError, match=r"0 and 255 alone.*processing.label_map={255: 1}"):
        build(num_classes=num_classes).processor([image()], mask)
    model = build(num_classes=num_classes, overrides=["processing.label_map={255: 1}"])
    batch = model.processor([image()], mask)
    assert batch["targets"][0]["segmentation"].unique().tolist() == [0, 1]
    assert model(**batch).loss > 0
    chosen = build(num_classes=num_classes, overrides=["processing.ignore_label=255"])
    assert chosen.processor([image()], mask)["targets"][0]["segmentation"].unique().tolist() == [0, 255]
    nothing = build(num_classes=num_classes).train()
    loss = nothing(**nothing.processor([image()], [{"segmentation": np.full((64, 80), 255)}])).loss
    loss.backward()
    assert loss == 0
    assert not last(nothing).weight.grad.any()


def palette_file(labels):
    stored = Image.frombytes("P", labels.shape[::-1], labels.tobytes())
    stored.putpalette([0, 0, 0, 200, 10, 10, 10, 200, 10] + [0] * 759)
    stream = io.BytesIO()
    stored.save(stream, "PNG")
    return Image.open(stream)


def test_a_palette_image_is_its_indices():
    model = build(num_classes=3)
    (target,) = model.processor([image()], [{"segmentation": palette_file(stripes(label=2))}])["targets"]
    assert torch.equal(target["segmentation"], torch.from_numpy(stripes(label=2)).long())


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float64, bool])
def test_a_map_of_any_whole_numbers_is_read(dtype):
    (target,) = build(num_classes=3).processor([image()], [{"segmentation": stripes().astype(dtype)}])["targets"]
    assert torch.equal(target["segmentation"], torch.from_numpy(stripes()).long())


@pytest.mark.parametrize("shape", [(1, 64, 80), (64, 80, 1)])
def test_a_map_with_an_axis_of_one_is_read(shape):
    (target,) = build(num_classes=3).processor([image()], [{"segmentation": stripes().reshape(shape)}])["targets"]
    assert torch.equal(target["segmentation"], torch.from_numpy(stripes()).long())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (palette_file(stripes()).convert("RGB"), "of mode RGB.*The fix"),
        (np.zeros((64, 80, 3), np.uint8), r"shape \[64, 80, 3\]: colours.*The fix"),
        (torch.zeros(4, 64, 80), r"shape \[4, 64, 80\]: colours.*The fix"),
        (np.full((64, 80), 0.5), "not whole"),
    ],
)
def test_colours_and_shares_are_no_labels(given, message):
    with pytest.raises(ContractError, match=message):
        build(num_classes=3).processor([image()], [{"segmentation": given}])


def test_a_loss_that_cannot_be_is_refused_before_weights_are_read():
    weights = {**RESNET, "pretrained": "/nowhere/model.safetensors"}
    head = {"name": "fcn", "num_classes": 3, "criterion": {"class_weights": [1.0]}}
    with pytest.raises(RecipeError, match="class_weights has 1 numbers, one for each of the 3 classes"):
        bk.build_model({"backbone": weights, "head": head})


def test_more_classes_than_256_have_weights():
    weights = ",".join(["2.0"] * 300)
    model = build(num_classes=300, overrides=[f"head.criterion.class_weights=[{weights}]"])
    assert model.criterion.class_weights.tolist() == [2.0] * 300
