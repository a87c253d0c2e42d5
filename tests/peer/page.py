"""docs/peer_tests.md: a row for every family or file, and below it what failed and why."""

from collections import Counter

from tests.peer.reasons import reason_for
from tests.peer.run import FAILED, PASSED, SKIPPED, Outcome

HEADER = """# transformers' own tests on our classes

`make peer-tests` downloads the source archive of the transformers release in use and runs its test mixins on
backbonekit's classes, with only the import changed: `backbone` is `BackboneTesterMixin` whole, `configuration` is every
step of `ConfigTester`, `model` is what in `ModelTesterMixin` says something about any model. The archive leaves out the
files of single models, so the small settings of each family are our own. `make peer-tests TRANSFORMERS_TESTS=FOLDER`
runs the backbone tests of a checkout's `tests` folder instead, and prints without writing this page.

Each test runs on transformers' own class first. One that is skipped or fails there is *not applicable*. The reason of
a failed test is the first thing in it that fails. The command fails when a test fails without a known reason.

"""
VERDICTS = (PASSED, FAILED, SKIPPED)


def page(outcomes: list[Outcome], version: str) -> str:
    groups = list(dict.fromkeys(one.group for one in outcomes))
    total = Counter(one.verdict for one in outcomes)
    lines = [
        f"transformers {version}: {', '.join(f'{total[verdict]} {verdict}' for verdict in VERDICTS)}.",
        "",
        f"| passed / failed / not applicable | {' | '.join(groups)} |",
        f"|---|{'---|' * len(groups)}",
    ]
    for subject in dict.fromkeys(one.subject for one in outcomes):
        cells = []
        for group in groups:
            found = Counter(one.verdict for one in outcomes if (one.subject, one.group) == (subject, group))
            cells.append(" / ".join(str(found[verdict]) for verdict in VERDICTS) if found else "")
        lines.append(f"| {subject} | {' | '.join(cells)} |")
    return (
        "\n".join([*lines, "", "## Failed", "", *failures(outcomes), "", "## Not applicable", "", *skips(outcomes)])
        + "\n"
    )


def failures(outcomes: list[Outcome]) -> list[str]:
    rows: dict[tuple[str, str], list[str]] = {}
    for one in outcomes:
        if one.verdict == FAILED:
            reason = reason_for(one.subject, one.test, one.message) or f"Reason unknown: {one.message}"
            rows.setdefault((one.test, reason), []).append(one.subject)
    ordered = sorted(rows.items(), key=lambda row: -len(row[1]))
    return _table("test", [(*key, _listed(subjects)) for key, subjects in ordered])


def skips(outcomes: list[Outcome]) -> list[str]:
    rows: dict[tuple[str, str], list[str]] = {}
    for one in outcomes:
        if one.verdict == SKIPPED:
            rows.setdefault((one.test, one.message), []).append(one.subject)
    return _table(
        "test",
        [(test, f"On transformers' own class: {message}", _listed(names)) for (test, message), names in rows.items()],
    )


def unexplained(outcomes: list[Outcome]) -> list[str]:
    """What makes the command fail."""
    return [
        f"{one.group}, {one.subject}, {one.test}: {one.message}"
        for one in outcomes
        if one.verdict == FAILED and reason_for(one.subject, one.test, one.message) is None
    ]


def _table(first: str, rows: list[tuple[str, str, str]]) -> list[str]:
    clean = [[cell.replace("|", "/") for cell in row] for row in rows]
    return [f"| {first} | reason | of |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in clean)]


def _listed(subjects: list[str]) -> str:
    return ", ".join(subjects) if len(subjects) < 5 else f"{len(subjects)} families"
