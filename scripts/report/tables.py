"""The tables of a scores folder: by method, by content and prompt, by style, and paired differences."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from callbacks.files import slug, write_text
from callbacks.scoring.scored import Group, Scored
from scripts.report import formats
from scripts.report.cells import NOTHING, Cell, Table, tag_of, usual_n

TEXT, IMAGE = "alignment/text", "alignment/image"
LEAKED, LEAKED_AMONG_ALL = "leakage/leaked", "leakage/leaked_among_all"
STYLE_SEEN, PROMPT_SEEN = "agreement/style", "agreement/prompt"
COMPARED = (TEXT, IMAGE, LEAKED, LEAKED_AMONG_ALL, STYLE_SEEN, PROMPT_SEEN)
MOST_COLUMNS = 6
_BY_PROMPT = (TEXT, LEAKED_AMONG_ALL, PROMPT_SEEN)
_BY_STYLE = (IMAGE, LEAKED_AMONG_ALL, STYLE_SEEN)
_MOST_FAULTS = 3
_NARROW = "Intervals over few references come out too narrow."
_CLASSIFIER = "This judge is a classifier: a picture leaks among all contents where it sees the reference's content."


def write_tables(scored: Scored, folder: Path) -> list[Table]:
    """Write all tables of all judges to `folder`/tables as Markdown and LaTeX, in place of those that are there."""
    tables = _uniquely_named([table for judge in scored.judges for table in tables_of(scored, judge)])
    for suffix, write in ((".md", formats.markdown), (".tex", formats.latex)):
        texts = {folder / "tables" / f"{table.name}{suffix}": write(table) for table in tables}
        for path, text in texts.items():
            write_text(path, text)
        for old in set((folder / "tables").glob(f"*{suffix}")) - set(texts):
            old.unlink()
    return tables


def tables_of(scored: Scored, judge: str) -> list[Table]:
    """All tables of one judge; none by style where there is one style only."""
    tags = scored.tags(judge)
    return [
        by_method(scored, judge),
        *([differences(scored, judge)] if len(scored.groups) > 1 else []),
        *(by_style(scored, judge, tag) for tag in _BY_STYLE if tag in tags and len(scored.seen("style")) > 1),
        *(
            content_by_prompt(scored, judge, group, tag)
            for tag in _BY_PROMPT
            if tag in tags
            for group in chosen(scored, judge)
        ),
    ]


def by_method(scored: Scored, judge: str) -> Table:
    """All scores of each group."""
    tags = scored.tags(judge)
    rows = [
        [group.title, str(group.pictures), *(Cell.of(tag, scored.estimate(group, judge, tag)) for tag in tags)]
        for group in scored.groups
    ]
    headers = ["method", "pictures", *(tag_of(tag).header for tag in tags)]
    note = _note(scored, rows, _CLASSIFIER if PROMPT_SEEN in tags else "")
    return Table(_name("by-method", judge), f"All methods, judged by {judge}", note, headers, rows)


def content_by_prompt(scored: Scored, judge: str, group: Group, tag: str) -> Table:
    """One score of one group for each content of the references and each prompt; the fewer of them in columns."""
    axes = [("content", scored.seen("content")), ("prompt", scored.seen("prompt"))]
    (column, columns), (row, names) = sorted(axes, key=lambda axis: len(axis[1]))

    def cells(where: dict[str, str]) -> list[Cell | str]:
        across = [*({column: name} for name in columns), {}]
        return [Cell.of(tag, scored.estimate(group, judge, tag, **where, **other)) for other in across]

    rows = [*([name, *cells({row: name})] for name in names), ["all", *cells({})]]
    title = f"{tag_of(tag).header.capitalize()} of {group.title} by {row} and {column}, judged by {judge}"
    name = _name("content-by-prompt", tag, group.title, judge)
    return Table(name, title, _note(scored, rows, _NARROW), [row, *columns, "all"], rows)


def by_style(scored: Scored, judge: str, tag: str, groups: Sequence[Group] | None = None) -> Table:
    """One score for each style of the references and each group, by default the `chosen` ones."""
    groups = chosen(scored, judge) if groups is None else groups
    rows = [
        [
            style or "not told",
            *(Cell.of(tag, scored.estimate(group, judge, tag, style=style)) for group in groups),
        ]
        for style in scored.seen("style")
    ]
    rows.append(["all", *(Cell.of(tag, scored.estimate(group, judge, tag)) for group in groups)])
    title = f"{tag_of(tag).header.capitalize()} by style of the reference, judged by {judge}"
    note = _note(scored, rows, _NARROW, _choice(scored, judge) if len(groups) < len(scored.groups) else "")
    return Table(_name("by-style", tag, judge), title, note, ["style", *(group.title for group in groups)], rows)


def differences(scored: Scored, judge: str) -> Table:
    """Each group less a base group, paired; groups of another grid are named in the note."""
    base, tags = base_group(scored.groups), [tag for tag in COMPARED if tag in scored.tags(judge)]
    found = [_compared(scored, group, base, judge, tags) for group in scored.groups if group != base]
    headers = [
        "method",
        *(f"{tag_of(tag).title}{', points' * tag_of(tag).is_rate} {tag_of(tag).better}" for tag in tags),
    ]
    rows = [each.row for each in found]
    faults = [each.fault for each in found if each.fault]
    more = [f"And {len(faults) - _MOST_FAULTS} more groups cannot be compared."] * (len(faults) > _MOST_FAULTS)
    reading = (
        "Differences are paired by reference, prompt, seed (or sample) and content image. Each interval stands for "
        "itself: of twenty true ties one is expected to exclude 0."
    )
    note = _note(scored, rows, reading, *faults[:_MOST_FAULTS], *more)
    return Table(_name("differences", judge), f"Each method less {base.title}, judged by {judge}", note, headers, rows)


def base_group(groups: Sequence[Group]) -> Group:
    """The group that the others are compared with: 2-means masking where there is one, else the first."""
    return next((group for group in groups if _is_two_means(group)), groups[0])


def _is_two_means(group: Group) -> bool:
    clusters = group.settings.get("condition", {}).get("n_clusters", 2)
    return (group.method == "masking" or group.method.startswith("masking_")) and clusters == 2


def chosen(scored: Scored, judge: str, most: int = MOST_COLUMNS) -> list[Group]:
    """All groups if they are at most `most`; else one of each method, that whose leak rate is nearest to the base's."""
    if len(scored.groups) <= most:
        return scored.groups
    base = base_group(scored.groups)
    methods: dict[str, list[Group]] = {base.method: [base]}
    for group in scored.groups:
        if group.method != base.method:
            methods.setdefault(group.method, []).append(group)
    aim = _leak(scored, base, judge)
    return [min(each, key=lambda group: abs(_leak(scored, group, judge) - aim)) for each in methods.values()][:most]


class _Compared(NamedTuple):
    row: list[Cell | str]
    fault: str


def _compared(scored: Scored, group: Group, base: Group, judge: str, tags: Sequence[str]) -> _Compared:
    row: list[Cell | str] = [group.title]
    fault = ""
    for tag in tags:
        cell: Cell | str = NOTHING
        if scored.estimate(group, judge, tag) and scored.estimate(base, judge, tag):
            try:
                cell = Cell.of(tag, scored.difference(group, base, judge, tag))
            except ValueError as error:
                fault = fault or f"{group.title}, {tag_of(tag).title}: {error}"
        row.append(cell)
    return _Compared(row, fault)


def _leak(scored: Scored, group: Group, judge: str) -> float:
    estimate = scored.estimate(group, judge, LEAKED_AMONG_ALL)
    return estimate.mean if estimate else 0.0


def _choice(scored: Scored, judge: str) -> str:
    base = base_group(scored.groups).title
    if LEAKED_AMONG_ALL not in scored.tags(judge):
        return "Of each method the first setting is shown."
    return f"Of each method that setting is shown whose leak rate among all contents is nearest to that of {base}."


def _note(scored: Scored, rows: Sequence[Sequence[Cell | str]], *more: str) -> str:
    """Counts and how to read the table, then what is special about it."""
    usual = usual_n(rows)
    pairs = any(isinstance(cell, Cell) and cell.is_difference for row in rows for cell in row)
    what = "pairs of pictures" if pairs else "pictures"
    sentences = [
        f"n = {usual} {what} in each cell that does not tell its own n." if usual else "",
        f"In brackets 95 % bootstrap intervals over references, {len(scored.seen('reference'))} in all.",
        "↑ more is better, ↓ less is better.",
        *more,
    ]
    return " ".join(filter(None, sentences))


def _name(*parts: str) -> str:
    return "-".join(slug(part, longest=60) for part in parts)


def _uniquely_named(tables: Sequence[Table]) -> list[Table]:
    """The same tables; of those whose names became equal, the later ones with a number."""
    taken: dict[str, int] = {}
    named = []
    for table in tables:
        taken[table.name] = taken.get(table.name, 0) + 1
        again = f"-{taken[table.name]}" if taken[table.name] > 1 else ""
        named.append(table._replace(name=f"{table.name}{again}"))
    return named
