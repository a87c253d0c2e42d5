"""Names and ids of classes: one rule for what an index is called, whatever keys an `id2label` has."""

import pytest

from backbonekit.contract.labels import Labels, category_id_of, gaps_note, names_of_classes, read_id2label


def test_indices_and_ids_translate_both_ways():
    labels = Labels(("cat", "dog"), category_ids=(3, -1))
    assert [labels.category_id(index) for index in range(2)] == [3, -1]
    assert [labels.index(number) for number in (3, -1, 0)] == [0, 1, None]
    plain = Labels(("cat", "dog"))
    assert (plain.category_id(1), plain.index(1), plain.index(2), category_id_of(None, 5)) == (1, 1, None, 5)


@pytest.mark.parametrize(
    ("table", "names"),
    [
        ({1: "b", 0: "a"}, ["a", "b"]),
        ({1: "cat", 2: "dog"}, ["0", "cat"]),
        ({0: "a", 2: "b"}, ["a", "1"]),
        ({-1: "none", 0: "cat"}, ["cat", "1"]),
        ({"0": 7, "1": 2.5}, ["7", "2.5"]),
        ({0: "LABEL_0", 1: "LABEL_1"}, None),
        ({1: "LABEL_1", 2: "LABEL_2"}, None),
        ({0: "LABEL_1", 1: "LABEL_0"}, ["LABEL_1", "LABEL_0"]),
    ],
)
def test_a_name_is_that_of_its_own_index(table, names):
    faults = []
    read = read_id2label(table, faults)
    assert read == {int(index): name for index, name in table.items()}
    assert list(read) == [int(index) for index in table]
    assert names_of_classes(read) == names
    assert not faults
    assert (gaps_note(read) is None) == (set(read) == set(range(len(read))))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, "must map class indices to names"),
        ({}, "must map class indices to names"),
        ({"x": "a"}, "the key 'x' is no class index"),
        ({0.0: "a"}, "the key '0.0' is no class index"),
        ({True: "a"}, "the key 'True' is no class index"),
        ({"1": "a", 1: "b"}, "names the class 1 twice"),
        ({0: "a\nb"}, "is no name of one line"),
        ({0: False}, "'False' is no name"),
        ({0: "a" * 501}, "is no name of one line"),
    ],
)
def test_what_is_no_table_of_names_is_a_fault(table, message):
    faults = []
    assert read_id2label(table, faults) is None
    assert message in faults[0]


def test_the_note_names_what_has_no_class_and_the_fix():
    note = gaps_note({1: "cat", 2: "dog"})
    assert "classes are 0 to 1: no class has the number 2 ('dog'), and 0 without a name is shown as a number" in note
    assert "name every number from 0 to 2, 'N/A' where there is none; or number the classes from 0" in note
    for far in ({-1: "none", 0: "cat"}, {5: "a", 70_000: "b"}):
        assert "The fix: number the classes from 0" in gaps_note(far)
