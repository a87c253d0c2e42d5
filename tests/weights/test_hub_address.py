"""hf://owner/name@revision/folder: what it names, and what is refused."""

import pytest

from backbonekit.errors import StorageError
from backbonekit.weights.hub_address import HubAddress, is_address, read_address
from backbonekit.weights.repository import open_repository


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf://me/m1", HubAddress("me/m1")),
        ("hf://me/m1/", HubAddress("me/m1")),
        ("hf://me/m1@v1.0", HubAddress("me/m1", "v1.0")),
        ("hf://me/m1/runs/best", HubAddress("me/m1", None, "runs/best")),
        ("hf://me/m1@main/runs/best", HubAddress("me/m1", "main", "runs/best")),
        ("hf://me/m1@refs/pr/3/runs", HubAddress("me/m1", "refs/pr/3", "runs")),
        ("hf://me/m1@feature%2Fnew/runs", HubAddress("me/m1", "feature/new", "runs")),
        (f"hf://me/m1@{'0' * 40}", HubAddress("me/m1", "0" * 40)),
    ],
)
def test_the_parts_of_an_address(text: str, expected: HubAddress):
    assert is_address(text)
    assert read_address(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hf://", "names no repository"),
        ("hf://me", "names no repository"),
        ("hf://me/m1@", "no revision follows the @"),
        ("hf://me/m1@main/../x", "no folder inside a repository"),
        ("hf://me/m1/..", "no folder inside a repository"),
        ("hf://me/m1/a\\b", "no folder inside a repository"),
        ("hf://datasets/me/d1", "datasets hold no models"),
    ],
)
def test_anything_else_is_refused(text: str, message: str):
    with pytest.raises(StorageError, match=message):
        read_address(text)


@pytest.mark.parametrize("text", ["hf://../m1", "hf://me/a--b", "hf://me/m1@a%2F..%2Fb"])
def test_what_the_hub_does_not_take_is_refused_before_a_request(text: str):
    with pytest.raises(StorageError, match=r"Hub repository|branch, tag or commit"):
        open_repository(text)


def test_two_revisions():
    with pytest.raises(StorageError, match="names a revision, and revision 'v2' is given too"):
        open_repository("hf://me/m1@v1", revision="v2")
    assert not is_address("me/m1")
