import pytest

from backbonekit.assembly.build import build_model
from backbonekit.errors import RecipeError
from backbonekit.registry import lookup
from backbonekit.registry.builtin import BUILTIN, KINDS
from backbonekit.registry.lookup import is_known, names, register, resolve


@pytest.fixture(autouse=True)
def _nothing_registered(monkeypatch):
    monkeypatch.setattr(lookup, "_REGISTERED", {})


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in KINDS if kind != "checkpoint" for name in BUILTIN[kind]]
)
def test_every_shipped_name_resolves(kind, name):
    assert callable(resolve(kind, name))


def test_converters_resolve():
    for name in BUILTIN["checkpoint"]:
        assert resolve("checkpoint", name) is not None


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(RecipeError, match="no head named 'maskforme'; did you mean 'maskformer'"):
        resolve("head", "maskforme")


def test_an_unknown_kind_is_refused_with_the_nearest():
    with pytest.raises(RecipeError, match="'heads' is no kind of part; did you mean 'head'"):
        names("heads")


def test_a_class_of_ones_own():
    class MyNeck:
        pass

    register("neck", "my_neck", MyNeck)
    register("neck", "my_neck", MyNeck)
    assert resolve("neck", "my_neck") is MyNeck
    assert is_known("neck", "my_neck")
    assert "my_neck" in names("neck")


def test_a_target_as_text_is_imported_late():
    register("neck", "ordered", "collections:OrderedDict")
    assert resolve("neck", "ordered").__name__ == "OrderedDict"
    register("neck", "absent", "no_such_module_anywhere:Neck")
    with pytest.raises(RecipeError, match=r"'absent' .* could not be imported: No module named"):
        resolve("neck", "absent")


def test_a_taken_name_is_refused_unless_overridden():
    with pytest.raises(RecipeError, match="a neck named 'fpn' already"):
        register("neck", "fpn", dict)
    register("neck", "fpn", dict, override=True)
    assert resolve("neck", "fpn") is dict


@pytest.mark.parametrize("name", ["", "a.b", "a:b", "os.system", "../x", "1a", "a b", "ﬁ", None, 3, "x" * 200])
def test_what_is_no_name(name):
    with pytest.raises(RecipeError, match="is no name for a neck"):
        register("neck", name, dict)
    assert not is_known("neck", name)


def test_a_part_that_lacks_what_wiring_reads_is_refused_with_what_to_write(monkeypatch):
    class Bare:
        criterion = None

    monkeypatch.setattr(lookup, "_REGISTERED", {("head", "bare"): Bare})
    with pytest.raises(RecipeError) as caught:
        build_model({"backbone": "timm/resnet10t", "head": "bare"})
    needs, scoring = caught.value.faults
    assert "the head 'bare' lacks `needs`: a classmethod needs(cls, wanted)" in needs
    assert "`scoring`" in scoring
