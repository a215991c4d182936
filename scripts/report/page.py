"""The report of a scores folder: one HTML page that needs no network."""

import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from html import escape
from itertools import islice
from pathlib import Path
from string import Template
from typing import NamedTuple

from matplotlib.figure import Figure

from callbacks.files import slug, write_atomically, write_text
from callbacks.scoring.scored import Scored
from callbacks.scoring.titles import title_of
from scripts.report import cases, formats, masks, tradeoff
from scripts.report.cells import Table
from scripts.report.claims import claims, front
from scripts.report.html_parts import Markup, bullets, details, paragraph, table
from scripts.report.svg import shown
from scripts.report.tables import write_tables
from scripts.report.thumbnails import Thumbnails

NAME = "report.html"
_TITLE = "Style and leakage"
_FIRST_TABLE = "by-method"  # with which the tables of each judge begin
_OPEN_TABLES = 2  # of each judge; the others unfold at a click
_MOST_LISTED = 200


class Section(NamedTuple):
    """A part of the page with a heading and a place in its contents."""

    title: str
    body: Markup
    id: str


def write(scored: Scored) -> Path:
    """Write tables, figures and `report.html` beside the scores; returns the page's path."""
    page = render(scored, write_tables(scored, scored.folder))
    write_figures(scored, scored.folder)
    write_text(scored.folder / NAME, page)
    return scored.folder / NAME


def write_figures(scored: Scored, folder: Path) -> None:
    """Write the trade-off of each judge to `folder`/figures, as PDF for a paper and as PNG."""
    for judge in _judges_of_tradeoff(scored):
        for part, figure in enumerate(_panels(scored, judge), start=1):
            for suffix in ("pdf", "png"):
                path = folder / "figures" / f"trade-off-{slug(judge)}-{part}.{suffix}"
                write_atomically(path, partial(figure.savefig, format=suffix, dpi=200))


def render(
    scored: Scored,
    tables: Sequence[Table],
    before: Sequence[Section] = (),
    after: Sequence[Section] = (),
    title: str = _TITLE,
) -> str:
    """The page: all that the scores tell, between sections of the caller."""
    own = [*_tradeoffs(scored), _tables(tables), *_cases(scored), *_masks(scored), _making(scored)]
    found = [*before, *own, *after]
    template = Template(Path(__file__).with_name("template.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(title),
        introduction=introduction(scored),
        contents="".join(f'<a href="#{each.id}">{escape(each.title)}</a>' for each in found),
        sections="\n".join(
            f'<section id="{each.id}"><h2>{escape(each.title)}</h2>\n{each.body}</section>' for each in found
        ),
    )


def introduction(scored: Scored) -> Markup:
    """What was scored, by whom, and what could not be."""
    references = len(scored.seen("reference"))
    counts = {
        "pictures": sum(group.pictures for group in scored.groups),
        "methods": len({group.method for group in scored.groups}),
        "settings": len(scored.groups),
        "references": references,
        "prompts": len(scored.seen("prompt")),
    }
    facts = "".join(f"<div><dt>{name}</dt><dd>{count:,}</dd></div>" for name, count in counts.items())
    reading = paragraph(
        f"Judged by {_listed(scored.judges)}. A picture leaks where it shows what its style reference shows in place "
        "of what its prompt asks for; good pictures have their reference's style and do not leak.",
        "Intervals are 95 % bootstrap intervals over references. Each stands for itself: of twenty true ties one is "
        "expected to exclude 0. Where no picture at all leaks, the interval has no width: it cannot tell what further "
        f"references would show (up to {min(1.0, 3 / references):.0%} of them, by the rule of three).",
    )
    return Markup(f'<dl class="facts">{facts}</dl>{reading}{_failures(scored)}{_cut_texts(scored)}')


def _failures(scored: Scored) -> Markup:
    if not scored.failures:
        return Markup("")
    listed = [f"{path}: {reason}" for path, reason in islice(scored.failures.items(), _MOST_LISTED)]
    rest = len(scored.failures) - len(listed)
    more = [f"and {rest} more, which are listed in scores.json"] if rest else []
    title = f"{_counted(len(scored.failures), 'picture')} left out: what could not be scored"
    return Markup(f'<div class="notice">{details(title, bullets([*listed, *more]))}</div>')


def _cut_texts(scored: Scored) -> Markup:
    told = [
        f"{judge}: {text!r} ({tokens} tokens)"
        for judge, texts in scored.about.get("cut_texts", {}).items()
        for text, tokens in texts.items()
    ]
    if not told:
        return Markup("")
    title = f"{_counted(len(told), 'text')} longer than a judge reads: pictures are compared with the beginning alone"
    return Markup(f'<div class="notice">{details(title, bullets(told[:_MOST_LISTED]))}</div>')


def _tradeoffs(scored: Scored) -> list[Section]:
    """Figures and sentences of each judge, if some method was scored in several settings."""
    body = "".join(_tradeoff(scored, judge) for judge in _judges_of_tradeoff(scored))
    return [Section("Style against leakage", Markup(body), "trade-off")] if body else []


def _judges_of_tradeoff(scored: Scored) -> list[str]:
    several = max(Counter(group.method for group in scored.groups).values()) > 1
    return [judge for judge in scored.judges if several and tradeoff.axes_of(scored.tags(judge)) is not None]


def _panels(scored: Scored, judge: str) -> list[Figure]:
    """Style against leakage, and style against the prompt."""
    axes = tradeoff.axes_of(scored.tags(judge))
    assert axes is not None
    return [tradeoff.draw(scored, judge, axes.style, across) for across in (axes.leak, axes.prompt)]


def _tradeoff(scored: Scored, judge: str) -> str:
    axes = tradeoff.axes_of(scored.tags(judge))
    assert axes is not None
    leak, prompt = _panels(scored, judge)
    charts = shown(leak, "Style against leak rate, a curve a method") + shown(prompt, "Style against the prompt")
    caption = (
        f"Every setting, judged by {judge}, with its 95 % intervals. First: the nearer to the upper left, the more "
        "style at less leakage. Second: the nearer to the upper right, the more of both style and prompt."
    )
    fronts = [
        (title_of(method), "; ".join(group.setting or "its only setting" for group in groups))
        for method, groups in front(scored, judge, axes.style, axes.leak).items()
    ]
    unbeaten = table(
        "Settings that none of the same method beats in both (by their means)", ["", ""], fronts, words=True
    )
    return (
        f'<figure><div class="charts">{charts}</div><figcaption>{escape(caption)}</figcaption></figure>'
        f"{_sentences(claims(scored, judge, axes.style, axes.leak))}{details('Best settings of each method', unbeaten)}"
    )


def _sentences(told: Sequence[str]) -> Markup:
    """A list of sentences whose numbers keep their units beside them."""
    return bullets([sentence.replace(" %", "\u00a0%") for sentence in told])


def _tables(tables: Sequence[Table]) -> Section:
    """All tables; of each judge the first ones unfolded."""
    starts = [place for place, each in enumerate(tables) if each.name.startswith(_FIRST_TABLE)]
    judges = [tables[start:end] for start, end in zip(starts, [*starts[1:], len(tables)], strict=True)]
    words = "A click on a header sorts by its column. The same tables lie in tables/ as Markdown and LaTeX."
    return Section("Scores", Markup(paragraph(words) + "".join(map(_of_judge, judges))), "scores")


def _of_judge(tables: Sequence[Table]) -> str:
    """The first tables, and below them the others, which unfold at a click."""
    first, others = tables[:_OPEN_TABLES], tables[_OPEN_TABLES:]
    folded = [details(each.title, formats.html(each)) for each in others]
    more = details(f"{_counted(len(others), 'table')} more, by style, content and prompt", *folded) if others else ""
    return "".join(map(formats.html, first)) + more


def _cases(scored: Scored) -> list[Section]:
    judge = cases.clip_judge(scored)
    if judge is None:
        return []
    found = cases.find(scored, judge)
    which = "all settings" if len(found) == len(scored.groups) else "one setting of each method"
    words = paragraph(
        f"Pictures beside their references, for {which}, at most one of each reference, chosen by {judge}.",
        "Worst leaks are nearest to the reference's content, less their prompt (leak). Best are, of those that did not "
        "leak and whose text alignment (text) is above their group's median, nearest to the reference (style).",
    )
    return [Section("Best and worst pictures", Markup(words + cases.shown(found)), "pictures")]


def _masks(scored: Scored) -> list[Section]:
    profiles, thumbnails = masks.read_profiles(scored.folder), Thumbnails()
    if not profiles:
        return []
    words = paragraph(
        "Masking multiplies the features of reference and content word element by element; 2-means splits the "
        "products, and the elements of the upper cluster are dropped. Here the products are sorted, and below "
        "stand the elements in their own order."
    )
    parts = "".join(
        f'<figure class="mask"><figcaption>{thumbnails.tile(profile.reference_path, "The reference")}'
        f"<span><b>{escape(profile.content.capitalize())}</b> {escape(masks.in_words(profile))}.</span></figcaption>"
        f"{shown(masks.draw_profile(profile), masks.in_words(profile))}</figure>"
        for profile in profiles
    )
    return [Section("What is masked", Markup(f'{words}<div class="masks">{parts}</div>'), "masks")]


def _making(scored: Scored) -> Section:
    """Where the pictures came from and how each group was made."""
    sources = [str(source) for source in scored.about.get("sources", ())]
    told = json.dumps(scored.about["groups"], indent=1, ensure_ascii=False)
    parts = [
        paragraph("All numbers lie beside this page: scores.csv and scores.parquet hold a row a picture and judge."),
        details(f"{_counted(len(sources), 'source')} of pictures", bullets(sources)),
        details("Settings of each group", Markup(f"<pre>{escape(told)}</pre>")),
    ]
    return Section("How it was made", Markup("".join(parts)), "making")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(f"“{name}”" for name in names[:-1]), f"“{names[-1]}”"]))
