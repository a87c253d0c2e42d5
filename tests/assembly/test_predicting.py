"""Images of every size and kind through a model, and the model left as it was found."""

import numpy as np
import pytest
import torch
from PIL import Image
from small_models import SmallModel

from backbonekit.assembly.inference import pick_device
from backbonekit.assembly.predict import predict, predict_each
from backbonekit.contract.processing import Processing
from backbonekit.contract.results import ClassResult, DepthResult, InstanceResult, PanopticResult, SemanticResult
from backbonekit.errors import ContractError, RecipeError, StorageError
from backbonekit.image_processing.image_paths import find_images


def half_bright(height: int, width: int) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    image[:, width // 2 :] = 255
    return image


SIZES = [(48, 64), (90, 30), (33, 47), (64, 64), (1, 1)]
KINDS = {
    "masks": PanopticResult,
    "dense": SemanticResult,
    "depth": DepthResult,
    "boxes": InstanceResult,
    "classes": ClassResult,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch_size", [1, 2, 9])
def test_each_kind_of_prediction(kind, batch_size):
    model = SmallModel(kind)
    steps = []
    images = [half_bright(*size) for size in SIZES]
    results = predict(model, images, batch_size=batch_size, progress=lambda done, total: steps.append((done, total)))
    assert all(type(result) is KINDS[kind] for result in results)
    assert model.largest_batch == min(batch_size, 5)
    assert steps[-1] == (5, 5)
    for size, result in zip(SIZES[:-1], results, strict=False):
        if isinstance(result, (SemanticResult, PanopticResult)):
            segmentation = result.segmentation
            assert segmentation.shape == size
            assert (segmentation[:, : size[1] // 2 - 4] == segmentation[0, 0]).all()
            assert (segmentation[:, size[1] // 2 + 4 :] == segmentation[0, -1]).all()
            assert segmentation[0, 0] != segmentation[0, -1]


def test_files_pillow_grey_and_sixteen_bits(tmp_path):
    model = SmallModel("dense")
    colour = half_bright(40, 60)
    path = tmp_path / "a.png"
    Image.fromarray(colour).save(path)
    grey = colour[..., 0]
    ways = [path, Image.fromarray(colour).convert("RGBA"), grey, grey.astype(np.uint16) * 257, torch.from_numpy(grey)]
    first, *others = predict(model, ways)
    for other in others:
        assert torch.equal(other.segmentation, first.segmentation)
    assert len(predict(model, path)) == 1


def test_the_model_is_left_as_it_was_found():
    model = SmallModel({"seg": "dense", "depth": "depth"}).train()
    model.heads[1].eval()
    predict(model, half_bright(20, 20))
    assert not model.ran_in_training
    assert model.training
    assert model.heads[0].training
    assert not model.heads[1].training
    with pytest.raises(StorageError):
        predict(model, ["/none.png"])
    assert model.training


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_models_precision_is_used(dtype):
    model = SmallModel("dense").to(dtype)
    assert predict(model, half_bright(20, 20))[0].segmentation.shape == (20, 20)


def test_several_tasks():
    model = SmallModel({"seg": "masks", "depth": "depth"})
    (both,) = predict(model, half_bright(40, 60))
    assert {name: type(result) for name, result in both.items()} == {"seg": PanopticResult, "depth": DepthResult}
    (depth,) = predict(model, half_bright(40, 60), task="depth")
    assert isinstance(depth, DepthResult)
    (read,) = predict(model, half_bright(40, 60), task="semantic")
    assert isinstance(read["seg"], SemanticResult)
    with pytest.raises(RecipeError, match=r"tasks seg \(instance or semantic or panoptic\), depth"):
        predict(model, half_bright(40, 60), task="detection")


def test_what_cannot_be_predicted_raises():
    with pytest.raises(RecipeError, match="no head"):
        predict(SmallModel(None), half_bright(4, 4))
    with pytest.raises(RecipeError, match="batch_size=0"):
        predict(SmallModel("dense"), half_bright(4, 4), batch_size=0)
    with pytest.raises(ContractError, match="no images"):
        predict(SmallModel("dense"), [])


@pytest.mark.parametrize("batch_size", [1, 3])
def test_one_bad_file_does_not_stop_the_rest(tmp_path, batch_size):
    Image.fromarray(half_bright(40, 60)).save(tmp_path / "picture2.png")
    Image.fromarray(half_bright(30, 30)).save(tmp_path / "picture10.jpg")
    Image.fromarray(np.zeros((1, 9000, 3), np.uint8)).save(tmp_path / "picture4.png")
    (tmp_path / "picture3.png").write_bytes(b"nothing")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.png").write_bytes(b"nothing")
    files = find_images(tmp_path)
    assert [file.name for file in files] == ["picture2.png", "picture3.png", "picture4.png", "picture10.jpg"]
    model = SmallModel("dense", Processing(shortest_edge=32, canvas=(32, 64)))  # the strip does not fit on it
    found = list(predict_each(model, files, batch_size=batch_size))
    assert [prediction.source for prediction in found] == files
    assert [prediction.error is None for prediction in found] == [True, False, False, True]
    assert isinstance(found[1].error, StorageError)
    assert isinstance(found[2].error, ContractError)
    assert found[3].image.size == (30, 30)
    assert found[3].result.segmentation.shape == (30, 30)


def test_a_folder_without_images_raises(tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(StorageError, match=r"no images.*train"):
        find_images(tmp_path)
    with pytest.raises(StorageError, match="cannot be read"):
        find_images(tmp_path / "none")


def test_devices_by_name():
    assert pick_device("cpu") == torch.device("cpu")
    for name in ("gpu", "cuda:99", "meta"):
        with pytest.raises(RecipeError, match=f"device={name}"):
            pick_device(name)
