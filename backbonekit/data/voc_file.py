"""An annotation of Pascal VOC, read as untrusted XML."""

from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from backbonekit.errors import StorageError
from backbonekit.weights.untrusted_files import read_regular

_LARGEST = 16 * 2**20  # bytes


class _Refused(Exception):
    pass


def read_xml(path: Path) -> Element:
    """The root of a file without a document type: entities of their own, which grow or read other files, are part of
    one. Raises StorageError."""
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(read_regular(path, limit=_LARGEST), True)
        return builder.close()
    except _Refused as error:
        raise StorageError(f"{path} has a document type (<!DOCTYPE), which no annotation needs.") from error
    except (expat.ExpatError, AssertionError) as error:
        raise StorageError(f"{path} is no XML: {error}.") from error


def _refuse(*_: Any) -> None:
    raise _Refused


def read_objects(path: Path) -> list[dict[str, Any]]:
    """`{"name": "dog", "box": [xmin, ymin, xmax, ymax], "is_difficult": False}` of each object, numbers as the file has
    them. Raises StorageError."""
    objects = []
    for number, one in enumerate(read_xml(path).iter("object")):
        name = (one.findtext("name") or "").strip()
        sides = [one.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
        try:
            box = [float(side or "") for side in sides]
        except ValueError:
            box = []
        if not name or not box or not all(abs(side) < float("inf") for side in box):
            raise StorageError(f"{path}: object {number} has no name, or no bndbox of four numbers.")
        if box[2] < box[0] or box[3] < box[1]:
            raise StorageError(f"{path}: object {number} has the bndbox {box}; xmin <= xmax and ymin <= ymax.")
        objects.append({"name": name, "box": box, "is_difficult": (one.findtext("difficult") or "0").strip() == "1"})
    return objects
