"""The serving example: eight threads on one model answer what one thread answers, and a broken image is a 400."""

import io
import runpy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import backbonekit as bk
from tests.fixed_weights import randomise_weights

testclient = pytest.importorskip("fastapi.testclient")
EXAMPLE = Path(__file__).parents[2] / "examples" / "serve.py"
HEADERS = {"Content-Type": "application/octet-stream"}


def png(number):
    pixels = np.random.default_rng(number).integers(0, 256, (40 + number, 60, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve") / "m1"
    randomise_weights(bk.build_model("fcos_digits")).save_pretrained(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODEL", str(folder))
        app = runpy.run_path(str(EXAMPLE))["create_app"]()
    with testclient.TestClient(app) as client:
        yield client


def answer(client, number):
    response = client.post("/predict?threshold=0.1", content=png(number), headers=HEADERS)
    assert response.status_code == 200, response.text
    return response.json()


def test_eight_threads_answer_what_one_answers(client):
    alone = [answer(client, number) for number in range(16)]
    assert all(len(one["scores"]) > 3 for one in alone)
    digits = bk.compose_recipe("fcos_digits").labels.names
    assert all(label in digits for one in alone for label in one["labels"])
    with ThreadPoolExecutor(8) as threads:
        for _ in range(2):
            assert list(threads.map(lambda number: answer(client, number), range(16))) == alone


@pytest.mark.parametrize("content", [b"no image", png(1)[:200], b"GIF89a"])
def test_a_broken_image_answers_400(client, content):
    response = client.post("/predict", content=content, headers=HEADERS)
    assert response.status_code == 400
    assert "image" in response.json()["detail"]
    assert "/tmp" not in response.json()["detail"]


def test_a_request_without_an_image_is_refused(client):
    assert client.post("/predict", headers=HEADERS).status_code in (400, 422)
