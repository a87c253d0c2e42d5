"""What a class token, a position or a query attends to, against the weights that transformers' names return."""

import pytest
import torch
from PIL import Image

import backbonekit as bk
from backbonekit.assembly.attention import attention_of
from backbonekit.assembly.look import look, show_every_level
from backbonekit.contract.looking import read_attending
from backbonekit.errors import ContractError, RecipeError
from backbonekit.hf_models.inner_states import run_with_states
from backbonekit.layers.attention_weights import caught_weights

DINO = "{model_type: dinov2, hidden_size: 24, num_hidden_layers: 6, num_attention_heads: 2, image_size: 56}"
SMALL = [f"backbone.config={DINO}", "processing.size=[56,84]"]
DETR = [
    *("backbone=resnet18", "head.num_layers=2", "neck.num_layers=1", "neck.feedforward_channels=32"),
    *("head.feedforward_channels=32", "head.num_queries=7", "processing.size=[64,96]"),
    *("processing.shortest_edge=null", "processing.longest_edge=null"),
]


@pytest.fixture(scope="module")
def image():
    return Image.linear_gradient("L").resize((120, 80)).convert("RGB")


@pytest.fixture(scope="module")
def dino():
    return bk.build_model({}, SMALL)


@pytest.fixture(scope="module")
def detr():
    return bk.build_model("detr_resnet50", DETR)


def test_the_class_token_of_the_last_block(dino, image):
    values = dino.processor([image])["pixel_values"]
    with torch.inference_mode():
        _, states = run_with_states(dino.backbone, values, states=False, attentions=True)
    expected = states.attentions[-1][0].mean(dim=0)[0, 1:].unflatten(0, (4, 6))
    found = attention_of(dino, image)
    assert found.title == "class token, stage6"
    torch.testing.assert_close(found.weights, expected)


def test_a_position_is_a_pixel_of_the_image(dino, image):
    values = dino.processor([image])["pixel_values"]
    with torch.inference_mode():
        _, states = run_with_states(dino.backbone, values, states=False, attentions=True)
    weights = states.attentions[-1][0].mean(dim=0)
    # 120 x 80 pixels on 6 x 4 cells: each is 20 x 20
    for point, cell in (((0, 0), 0), ((119, 79), 23), ((45, 30), 1 * 6 + 2)):
        found = attention_of(dino, image, point)
        torch.testing.assert_close(found.weights, weights[1 + cell, 1:].unflatten(0, (4, 6)))
    with pytest.raises(ContractError, match="columns 0 to 119 and rows 0 to 79"):
        attention_of(dino, image, (120, 3))


def test_a_query_of_a_detector(detr, image):
    found = attention_of(detr, image, "query:3")
    assert float(found.weights.sum()) == pytest.approx(1.0, abs=1e-4)
    batch = detr.processor([image])
    with torch.inference_mode(), caught_weights([detr.head.layers[-1].cross_attention]) as caught:
        logits = detr(batch["pixel_values"], batch["pixel_mask"]).predictions.class_logits[0]
    expected = caught[0][0].mean(dim=0)
    torch.testing.assert_close(found.weights, expected[3].unflatten(0, (2, 3)))
    best = attention_of(detr, image, "query")
    scores = logits.softmax(dim=-1)[:, :-1].amax(dim=-1)
    assert best.title == f"query {int(scores.argmax())}, score {float(scores.max()):.0%}"
    with pytest.raises(ContractError, match="queries 0 to 6"):
        attention_of(detr, image, "query:7")


def test_models_without_such_attention_say_so(dino, detr, image):
    with pytest.raises(ContractError, match="no queries"):
        attention_of(dino, image, "query")
    with pytest.raises(ContractError, match="no class token"):
        attention_of(detr, image)
    with pytest.raises(ContractError, match=r"attention=3,4: .* has no layer in which every position attends"):
        attention_of(detr, image, (3, 4))
    for wrong in ("clas", "query:x", "3", "3,4,5", "-1,2"):
        with pytest.raises(RecipeError, match="what attends is class"):
            read_attending(wrong)


def test_every_level_is_shown_of_a_pyramid_and_four_of_a_plain_transformer(image):
    plain, pyramid = bk.build_model({}, SMALL), bk.build_model({}, ["backbone=timm/resnet18"])
    for model in (plain, pyramid):
        show_every_level(model)
    assert plain.backbone.features.names == ("stage1", "stage3", "stage5", "stage6")
    assert pyramid.backbone.features.strides == (2, 4, 8, 16, 32)
    sheet = look(pyramid, image, title="a.png")
    assert sheet.width > 3 * 480
    assert look(plain, image, basis="shared") != look(plain, image)


def test_the_seen_part_is_shown_where_the_processing_crops():
    model = bk.build_model({}, ["backbone=timm/resnet18", "processing.size=null", "processing.crop=[32,32]"])
    image = Image.new("RGB", (96, 64), "red")
    image.paste("blue", (32, 16, 64, 48))  # exactly what the centre crop sees
    sheet = look(model, image)
    colours = {colour for _, colour in sheet.crop((20, 60, 470, 450)).getcolors(100_000)}
    assert colours == {(0, 0, 255)}
