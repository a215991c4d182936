"""The parts of the report that tell of the training: what was run, what the curves show in words, and the grids."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from callbacks.scoring.titles import TITLES
from scripts.report.html_parts import Markup, bullets, details, embedded, paragraph, table, text
from scripts.report.page import Section
from scripts.report.svg import shown
from scripts.reproduction.findings import NAMES, Finding, Findings, best_step, label, number
from scripts.reproduction.published import comparison, draw_comparison
from scripts.reproduction.results import ADAPTERS, LEAKED_AMONG_ALL, MASKED, Results, Score
from scripts.times import clock

TITLE = "Training curves, style and leakage"
_SHOWN = {**NAMES, LEAKED_AMONG_ALL: "leak rate among all contents", MASKED: "share masked"}
_STANDING = {"seen": "seen", "the opposite": "opposite", "not shown": "untold"}


class Facts(NamedTuple):
    """Everything that the report tells."""

    results: Results
    findings: Findings
    about: dict[str, str]  # "backbone", "objective", "judge", "data", ... in words
    is_miniature: bool
    is_quick: bool
    figure: Path
    strip_choice: str  # how the pictures of panel (b) were chosen
    grids: dict[str, list[tuple[int, Path]]]  # by method: step and picture
    seconds: dict[str, float]  # by stage
    commands: dict[str, str]  # by stage
    versions: dict[str, str]


def opening(facts: Facts) -> list[Section]:
    """What comes before the scores of the pictures: the training curves, here and as published."""
    curves = [
        notice(facts),
        curves_figure(facts),
        introduction(facts),
        claims(facts.findings),
        bullets(facts.findings.courses),
        others(facts.findings),
        scores(facts.results),
        details("Each score along the training steps", steps(facts.results)),
    ]
    published = [comparison(facts.results), shown(draw_comparison(facts.results), "Published and measured curves")]
    return [
        Section("Training curves", Markup("".join(curves)), "curves"),
        Section("Against the publication", Markup("".join(published)), "published"),
    ]


def closing(facts: Facts) -> list[Section]:
    """What comes after them: picture grids along the training steps, and how the run was made."""
    grids = "".join(grid(method, pictures) for method, pictures in facts.grids.items())
    about = [
        table("Settings", ["", ""], list({**facts.about, **facts.versions}.items()), words=True),
        table("Times", ["stage", "m:ss"], [(name, clock(s)) for name, s in facts.seconds.items()]),
        details("Commands", *(command(*item) for item in facts.commands.items())),
    ]
    return [
        Section("Picture grids along the training steps", Markup(grids), "grids"),
        Section("The run", Markup("".join(about)), "run"),
    ]


def notice(facts: Facts) -> Markup:
    """What limits these results."""
    parts = []
    if facts.is_miniature:
        parts.append(
            "These are results of the miniature: small networks on drawn icons, for looking at the methods on a "
            "laptop. They say nothing about the size of an effect on Stable Diffusion 1.5, and its steps are scaled to "
            "its smaller problem."
        )
    if facts.is_quick:
        parts.append(
            "This is the quick variant: few references and few sampling steps. With so few references bootstrap "
            "intervals come out too narrow; take differences as hints."
        )
    return Markup(f'<div class="notice">{paragraph(*parts)}</div>' if parts else "")


def introduction(facts: Facts) -> Markup:
    """What was compared, by whom it was judged, and what step 0 is."""
    first = facts.results.all[0]
    return paragraph(
        f"Each method drew the same {first.images} pictures: {len(first.references)} style references, "
        f"{first.images // len(first.references)} each. IP-Adapter, InstantStyle and masking need no training; the two "
        f"adapters were trained by reconstruction with this objective: {facts.about['objective']}. Pictures were "
        f"scored by the judge “{first.judge}”, a CLIP that took no part in making them. Text alignment is the "
        "cosine of picture and prompt, image alignment that of picture and style reference; the leak rate is the "
        "share of pictures nearer to the reference's content than to their prompt (lower is better).",
        "Step 0 is the untrained adapter: it already subtracts a random content feature, so it is not IP-Adapter.",
        "Intervals are 95 % bootstrap intervals over references; differences are paired, as all methods share "
        "references, prompts and seeds. Each stands for itself: of twenty true ties one interval is expected to "
        "exclude 0.",
    )


def claims(findings: Findings) -> Markup:
    """The published readings, each beside what is seen here."""
    rows = [(each.claim, each.sentence, standing(each)) for each in findings.published]
    readings = table("Published readings", ["published", "here", "the reading is"], rows, words=True)
    return Markup(paragraph(findings.headline) + readings)


def others(findings: Findings) -> Markup:
    """The comparisons about which nothing was published, or that choose a step on the same pictures."""
    rest = [each.sentence for each in [*findings.tuning_free, *findings.curves] if not each.published]
    return Markup(
        details("Further comparisons", bullets(rest))
        + details(
            "Masking, untrained, against each adapter at the step of its highest text alignment",
            paragraph("That step was chosen on these same pictures, which favours the adapters a little."),
            bullets([each.sentence for each in findings.tuned]),
        )
    )


def standing(finding: Finding) -> Markup:
    """Whether the published reading is seen here."""
    return Markup(f'<span class="{_STANDING[finding.agreement]}">{finding.agreement}</span>')


def curves_figure(facts: Facts) -> Markup:
    """The figure, which a narrow page scrolls sideways."""
    picture = embedded(facts.figure, "Text and image alignment along the training steps, and pictures")
    return Markup(
        f'<figure><div class="scroll wide">{picture}</div><figcaption>{text(caption(facts))}</figcaption></figure>'
    )


def caption(facts: Facts) -> str:
    """Caption of the figure."""
    return (
        "(a) Text alignment (left axis, solid lines) and image alignment (right axis, dashed lines); bands and bars "
        "are 95 % intervals. Stars are the methods without training, dotted lines continue their text alignment. "
        f"(b) {facts.strip_choice}"
    )


def scores(results: Results) -> Markup:
    """All scores of the tuning-free methods, and of the adapters untrained, at their best and at their last step."""
    shown = list(results.tuning_free.values())
    for curve in results.curves.values():
        chosen = {each.step: each for each in (curve[0], best_step(curve), curve[-1])}
        shown += [chosen[step] for step in sorted(chosen)]
    tags = [tag for tag in _SHOWN if any(tag in each.scores for each in shown)]
    rows = [[label(each), *(_cell(each.scores.get(tag), tag) for tag in tags)] for each in shown]
    words = "Means with 95 % intervals; adapters untrained, at the highest text alignment, and at the last step"
    return table(words, ["method", *(_SHOWN[tag] for tag in tags)], rows)


def steps(results: Results) -> Markup:
    """Text alignment, image alignment and leak rate of each adapter at each step."""
    tables = []
    for tag in NAMES:
        headers = ["", *(str(each.step) for each in results.curves[ADAPTERS[0]])]
        rows = [
            [TITLES[method], *(_cell(each.scores[tag], tag) for each in results.curves[method])] for method in ADAPTERS
        ]
        tables.append(table(NAMES[tag].capitalize(), headers, rows))
    return Markup("".join(tables))


def grid(method: str, pictures: Sequence[tuple[int, Path]]) -> Markup:
    """The image grids of a method, the last one unfolded."""
    parts = []
    for step, path in pictures:
        name = f"{TITLES[method]}, step {step}" if method in ADAPTERS else TITLES[method]
        parts.append(details(name, embedded(path, f"{name}: references and results"), is_open=method == "masking"))
    return Markup("".join(parts))


def command(stage: str, line: str) -> Markup:
    """The command of a stage."""
    return Markup(f"{paragraph(stage)}<pre>{text(line)}</pre>")


def _cell(score: Score | None, tag: str) -> Markup | str:
    if score is None:
        return "–"
    low, high = (number(value, tag).removesuffix(" %") for value in (score.low, score.high))
    return Markup(f"{number(score.mean, tag)}<small>{low} to {high}</small>")
