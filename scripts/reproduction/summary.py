"""All numbers of a reproduction as JSON values."""

from typing import Any

from scripts.reproduction.findings import Finding
from scripts.reproduction.report import Facts
from scripts.reproduction.results import Evaluation


def summary(facts: Facts) -> dict[str, Any]:
    """All scores, intervals, differences, settings, versions and times."""
    groups = {name: getattr(facts.findings, name) for name in ("tuning_free", "curves", "tuned")}
    return {
        "about": facts.about,
        "is_miniature": facts.is_miniature,
        "is_quick": facts.is_quick,
        "evaluations": [_evaluation(each) for each in facts.results.all],
        "findings": {name: [_finding(each) for each in group] for name, group in groups.items()},
        "headline": facts.findings.headline,
        "courses": facts.findings.courses,
        "seconds": facts.seconds,
        "commands": facts.commands,
        "versions": facts.versions,
    }


def _evaluation(evaluation: Evaluation) -> dict[str, Any]:
    scores = {tag: score._asdict() for tag, score in evaluation.scores.items()}
    return {**evaluation._asdict(), "images": evaluation.images, "scores": scores}


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "sentence": finding.sentence,
        **finding.difference._asdict(),
        "verdict": finding.difference.verdict,
        "claim": finding.claim,
        "published": finding.published,
        "agreement": finding.agreement,
    }
