"""The tables of a scores folder: by method, by content and prompt, by style, and paired differences."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import chain
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table as TerminalTable

from callbacks.scoring.scored import Group, Scored
from datamodules.files import write_text
from datamodules.names import slug
from scripts.report.cells import NOTHING, Cell, Table, tag_of, usual_n

TEXT, IMAGE, CONTENT = "alignment/text", "alignment/image", "alignment/content"
LEAKED, LEAKED_AMONG_ALL = "leakage/leaked", "leakage/leaked_among_all"
STYLE_SEEN, PROMPT_SEEN = "agreement/style", "agreement/prompt"
COMPARED = (TEXT, IMAGE, LEAKED, LEAKED_AMONG_ALL, STYLE_SEEN, PROMPT_SEEN)
_BY_PROMPT = (TEXT, LEAKED_AMONG_ALL, PROMPT_SEEN)
_BY_STYLE = (IMAGE, LEAKED_AMONG_ALL, STYLE_SEEN)
_MOST_COLUMNS = 6
_MOST_FAULTS = 3
_MOST_SHOWN = 12  # methods in a terminal; of a sweep the report tells all
_NARROW = "Intervals over few references come out too narrow."
_PAIRED = (
    "Differences are paired by reference, prompt, seed (or sample) and content image. Each interval stands for "
    "itself: of twenty true ties one is expected to exclude 0."
)
_CLASSIFIER = "This judge is a classifier: a picture leaks among all contents where it sees the reference's content."

Asked = list[tuple[str, dict[str, Any]]]  # name and what it asks for


def write_tables(scored: Scored) -> list[list[Table]]:
    """Write the tables of each judge to `tables` as Markdown and LaTeX, in place of those that are there."""
    tables, folder = [tables_of(scored, judge) for judge in scored.judges], scored.folder / "tables"
    taken: Counter[str] = Counter()
    for each in tables:
        for place, table in enumerate(each):
            taken[table.name] += 1
            if taken[table.name] > 1:
                each[place] = table._replace(name=f"{table.name}-{taken[table.name]}")
    texts = {f"{table.name}.md": table.markdown() for table in chain(*tables)}
    texts |= {f"{table.name}.tex": table.latex() for table in chain(*tables)}
    for name, text in texts.items():
        write_text(folder / name, text)
    for old in [*folder.glob("*.md"), *folder.glob("*.tex")]:
        if old.name not in texts:
            old.unlink()
    return tables


def show(scored: Scored, console: Console | None = None) -> None:
    """A table for each judge in a terminal: its most telling scores with their intervals, for the first methods."""
    console = console or Console(highlight=False)
    for judge in scored.judges:
        frame = by_method(scored, judge).frame.head(_MOST_SHOWN)
        headers = [tag_of(tag).header for tag in COMPARED if tag in scored.tags(judge)]
        frame = frame[["method", "pictures", *headers]]
        table = TerminalTable(*frame.columns, title=f"Judged by {judge}")
        for row in frame.itertuples(index=False, name=None):
            table.add_row(*(cell if isinstance(cell, str) else f"{cell.value}\n{cell.interval}" for cell in row))
        console.print(table, markup=False)
    if len(scored.groups) > _MOST_SHOWN:
        console.print(f"And {len(scored.groups) - _MOST_SHOWN} more in the report.")
    if scored.failures:
        console.print(f"Pictures that could not be scored: {len(scored.failures)}; the report names them.")


def tables_of(scored: Scored, judge: str) -> list[Table]:
    """All tables of one judge; none by style where there is one style only."""
    tags, groups = scored.tags(judge), chosen(scored, judge)
    by_prompt = [(tag, group) for tag in _BY_PROMPT if tag in tags for group in groups]
    return [
        by_method(scored, judge),
        *([differences(scored, judge)] if len(scored.groups) > 1 else []),
        *(by_style(scored, judge, tag) for tag in _BY_STYLE if tag in tags and len(scored.seen("style")) > 1),
        *(content_by_prompt(scored, judge, group, tag) for tag, group in by_prompt),
    ]


def by_method(scored: Scored, judge: str) -> Table:
    """All scores of each group."""
    tags = scored.tags(judge)
    rows: Asked = [(group.title, {"group": group}) for group in scored.groups]
    frame = crossed(scored, judge, "method", rows, [(tag_of(tag).header, {"tag": tag}) for tag in tags])
    frame.insert(1, "pictures", [str(group.pictures) for group in scored.groups])
    note = _note(scored, frame, _CLASSIFIER if PROMPT_SEEN in tags else "")
    return Table(_name("by-method", judge), f"All methods, judged by {judge}", note, frame)


def content_by_prompt(scored: Scored, judge: str, group: Group, tag: str) -> Table:
    """One score of one group for each content of the references and each prompt; the fewer of them in columns."""
    across, down = sorted(("content", "prompt"), key=lambda key: len(scored.seen(key)))
    rows, columns = ([*((name, {key: name}) for name in scored.seen(key)), ("all", {})] for key in (down, across))
    frame = crossed(scored, judge, down, rows, columns, group=group, tag=tag)
    title = f"{tag_of(tag).header.capitalize()} of {group.title} by {down} and {across}, judged by {judge}"
    name = _name("content-by-prompt", tag, group.title, judge)
    return Table(name, title, _note(scored, frame, _NARROW), frame)


def by_style(scored: Scored, judge: str, tag: str) -> Table:
    """One score for each style of the references and each of the `chosen` groups."""
    groups, choice = chosen(scored, judge), ""
    if len(groups) < len(scored.groups):
        nearest = f"that setting is shown whose leak rate among all contents is nearest to that of {groups[0].title}"
        told = LEAKED_AMONG_ALL in scored.tags(judge)
        choice = f"Of each method {nearest if told else 'the first setting is shown'}."
    rows: Asked = [*((style or "not told", {"style": style}) for style in scored.seen("style")), ("all", {})]
    frame = crossed(scored, judge, "style", rows, [(group.title, {"group": group}) for group in groups], tag=tag)
    title = f"{tag_of(tag).header.capitalize()} by style of the reference, judged by {judge}"
    return Table(_name("by-style", tag, judge), title, _note(scored, frame, _NARROW, choice), frame)


def differences(scored: Scored, judge: str) -> Table:
    """Each group less a base group, paired; groups of another grid are named in the note."""
    base, tags = base_group(scored.groups), [tag for tag in COMPARED if tag in scored.tags(judge)]
    rows: list[list[Cell | str]] = []
    faults: dict[str, str] = {}
    for group in [group for group in scored.groups if group != base]:
        rows.append([group.title])
        for tag in tags:
            try:
                both = scored.estimate(group, judge, tag) and scored.estimate(base, judge, tag)
                rows[-1].append(Cell.of(tag, scored.difference(group, base, judge, tag)) if both else NOTHING)
            except ValueError as error:
                rows[-1].append(NOTHING)
                faults.setdefault(group.title, f"{group.title}, {tag_of(tag).title}: {error}")
    headers = [f"{tag_of(tag).title}{', points' * tag_of(tag).is_rate} {tag_of(tag).better}" for tag in tags]
    frame = pd.DataFrame(rows, columns=["method", *headers])
    more = [f"And {len(faults) - _MOST_FAULTS} more groups cannot be compared."] * (len(faults) > _MOST_FAULTS)
    note = _note(scored, frame, _PAIRED, *[*faults.values()][:_MOST_FAULTS], *more)
    return Table(_name("differences", judge), f"Each method less {base.title}, judged by {judge}", note, frame)


def crossed(scored: Scored, judge: str, corner: str, rows: Asked, columns: Asked, **fixed: Any) -> pd.DataFrame:
    """A score for each row and column, each of which says a part of which: its tag, its group, or which pictures."""

    def cell(group: Group, tag: str, **where: str) -> Cell | str:
        estimate = scored.estimate(group, judge, tag, **where)
        return NOTHING if estimate is None else Cell.of(tag, estimate)

    cells = [[name, *(cell(**fixed, **down, **across) for _, across in columns)] for name, down in rows]
    return pd.DataFrame(cells, columns=[corner, *(name for name, _ in columns)])


def base_group(groups: Sequence[Group]) -> Group:
    """The group that the others are compared with: 2-means masking where there is one, else the first."""
    maskings = [group for group in groups if group.method == "masking" or group.method.startswith("masking_")]
    clusters = [group.settings.get("condition", {}).get("n_clusters", 2) for group in maskings]
    return maskings[clusters.index(2)] if 2 in clusters else groups[0]


def methods_of(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """The groups of each method, methods in the order of their first groups."""
    methods: dict[str, list[Group]] = defaultdict(list)
    for group in groups:
        methods[group.method].append(group)
    return methods


def chosen(scored: Scored, judge: str) -> list[Group]:
    """All groups if they are few; else one of each method, that whose leak rate is nearest to the base's."""
    if len(scored.groups) <= _MOST_COLUMNS:
        return scored.groups

    def leak(group: Group) -> float:
        estimate = scored.estimate(group, judge, LEAKED_AMONG_ALL)
        return estimate.mean if estimate else 0.0

    base = base_group(scored.groups)
    methods = {base.method: [base]} | methods_of([group for group in scored.groups if group.method != base.method])
    return [min(each, key=lambda group: abs(leak(group) - leak(base))) for each in methods.values()][:_MOST_COLUMNS]


def _note(scored: Scored, frame: pd.DataFrame, *more: str) -> str:
    """Counts and how to read the table, then what is special about it."""
    usual = usual_n(frame)
    pairs = any(isinstance(each, Cell) and each.is_difference for each in frame.to_numpy().flat)
    what = "pairs of pictures" if pairs else "pictures"
    counts = f"n = {usual} {what} in each cell that does not tell its own n." if usual else ""
    references = len(scored.seen("reference"))
    intervals = f"In brackets 95 % bootstrap intervals over references, {references} in all."
    return " ".join(filter(None, [counts, intervals, "↑ more is better, ↓ less is better.", *more]))


def _name(*parts: str) -> str:
    return "-".join(slug(part, longest=60) for part in parts)
