"""The tables of a scores folder: by method, by content and prompt, by style, and paired differences."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
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
MOST_COLUMNS = 6
_BY_PROMPT = (TEXT, LEAKED_AMONG_ALL, PROMPT_SEEN)
_BY_STYLE = (IMAGE, LEAKED_AMONG_ALL, STYLE_SEEN)
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
    taken: Counter[str] = Counter()
    tables = [[_named(table, taken) for table in tables_of(scored, judge)] for judge in scored.judges]
    folder, texts = scored.folder / "tables", dict[Path, str]()
    for table in chain(*tables):
        texts |= {folder / f"{table.name}.md": table.markdown(), folder / f"{table.name}.tex": table.latex()}
    for path, text in texts.items():
        write_text(path, text)
    for old in {*folder.glob("*.md"), *folder.glob("*.tex")} - set(texts):
        old.unlink()
    return tables


def show(scored: Scored, console: Console | None = None) -> None:
    """A table for each judge in a terminal: its most telling scores with their intervals, for the first methods."""
    console = console or Console(highlight=False)
    for judge in scored.judges:
        frame = by_method(scored, judge).frame.head(_MOST_SHOWN)
        headers = [tag_of(tag).header for tag in COMPARED if tag in scored.tags(judge)]
        frame = frame[["method", "pictures", *headers]].map(_in_lines)
        table = TerminalTable(*frame.columns, title=f"Judged by {judge}")
        for row in frame.itertuples(index=False, name=None):
            table.add_row(*row)
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


def by_style(scored: Scored, judge: str, tag: str, groups: Sequence[Group] | None = None) -> Table:
    """One score for each style of the references and each group, by default the `chosen` ones."""
    groups = chosen(scored, judge) if groups is None else groups
    rows: Asked = [*((style or "not told", {"style": style}) for style in scored.seen("style")), ("all", {})]
    frame = crossed(scored, judge, "style", rows, [(group.title, {"group": group}) for group in groups], tag=tag)
    title = f"{tag_of(tag).header.capitalize()} by style of the reference, judged by {judge}"
    note = _note(scored, frame, _NARROW, _choice(scored, judge) if len(groups) < len(scored.groups) else "")
    return Table(_name("by-style", tag, judge), title, note, frame)


def differences(scored: Scored, judge: str) -> Table:
    """Each group less a base group, paired; groups of another grid are named in the note."""
    base, tags = base_group(scored.groups), [tag for tag in COMPARED if tag in scored.tags(judge)]
    rows: list[list[Cell | str]] = []
    faults: dict[str, str] = {}
    for group in [group for group in scored.groups if group != base]:
        rows.append([group.title])
        for tag in tags:
            try:
                rows[-1].append(_difference(scored, group, base, judge, tag))
            except ValueError as error:
                rows[-1].append(NOTHING)
                faults.setdefault(group.title, f"{group.title}, {tag_of(tag).title}: {error}")
    headers = [f"{tag_of(tag).title}{', points' * tag_of(tag).is_rate} {tag_of(tag).better}" for tag in tags]
    frame = pd.DataFrame(rows, columns=["method", *headers])
    more = [f"And {len(faults) - _MOST_FAULTS} more groups cannot be compared."] * (len(faults) > _MOST_FAULTS)
    note = _note(scored, frame, _PAIRED, *[*faults.values()][:_MOST_FAULTS], *more)
    return Table(_name("differences", judge), f"Each method less {base.title}, judged by {judge}", note, frame)


def _difference(scored: Scored, group: Group, base: Group, judge: str, tag: str) -> Cell | str:
    both = scored.estimate(group, judge, tag) and scored.estimate(base, judge, tag)
    return Cell.of(tag, scored.difference(group, base, judge, tag)) if both else NOTHING


def crossed(scored: Scored, judge: str, corner: str, rows: Asked, columns: Asked, **fixed: Any) -> pd.DataFrame:
    """A score for each row and column, each of which says a part of which: its tag, its group, or which pictures."""
    cells = [[name, *(_cell(scored, judge, **fixed, **down, **across) for _, across in columns)] for name, down in rows]
    return pd.DataFrame(cells, columns=[corner, *(name for name, _ in columns)])


def _cell(scored: Scored, judge: str, group: Group, tag: str, **where: str) -> Cell | str:
    estimate = scored.estimate(group, judge, tag, **where)
    return NOTHING if estimate is None else Cell.of(tag, estimate)


def _in_lines(cell: Cell | str) -> str:
    return cell if isinstance(cell, str) else f"{cell.value}\n{cell.interval}"


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


def _leak(scored: Scored, group: Group, judge: str) -> float:
    estimate = scored.estimate(group, judge, LEAKED_AMONG_ALL)
    return estimate.mean if estimate else 0.0


def _choice(scored: Scored, judge: str) -> str:
    base = base_group(scored.groups).title
    if LEAKED_AMONG_ALL not in scored.tags(judge):
        return "Of each method the first setting is shown."
    return f"Of each method that setting is shown whose leak rate among all contents is nearest to that of {base}."


def _note(scored: Scored, frame: pd.DataFrame, *more: str) -> str:
    """Counts and how to read the table, then what is special about it."""
    usual = usual_n(frame)
    pairs = any(isinstance(each, Cell) and each.is_difference for each in frame.to_numpy().flat)
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


def _named(table: Table, taken: Counter[str]) -> Table:
    """The same table, with a number where its name is `taken`."""
    taken[table.name] += 1
    again = f"-{taken[table.name]}" if taken[table.name] > 1 else ""
    return table._replace(name=f"{table.name}{again}")
