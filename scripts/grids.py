"""The settings of a sweep: lists of values become one variant for each combination."""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from jsonargparse import ArgumentError, ArgumentParser

from callbacks.files import digest, slug
from lightning_modules import conditions
from lightning_modules.conditions import Condition
from lightning_modules.diffusion.config import SamplingSettings
from lightning_modules.frozen_state import fingerprint

T = TypeVar("T")
_EXAMPLE = "{condition: InstantStyle, arguments: {strength: [1.0, 0.5]}, sampling: {scale: [1.0, 0.5]}}"


@dataclass
class Grid:
    """The settings of one method: every combination of the values in the lists; what is no list holds for all.

    Args:
        condition: class of `lightning_modules.conditions`, such as "InstantStyle", or any other by its dotted path.
        arguments: values of arguments of that class.
        sampling: values of keys of `--model.sampling`, such as scale.
    """

    condition: str
    arguments: dict[str, Any] = field(default_factory=dict)
    sampling: dict[str, Any] = field(default_factory=dict)


class Variant(NamedTuple):
    """One setting of one method."""

    name: str  # of its folder
    condition: Condition
    sampling: SamplingSettings


def variants(grids: Sequence[Grid], sampling: SamplingSettings) -> list[Variant]:
    """All settings, in order; what a grid does not say about sampling is as in `sampling`.

    Raises:
        ValueError: there is no grid, or one names no condition, an unknown argument, no value or a wrong one, or a
            setting again.
    """
    if not grids:
        raise ValueError(f"`sweep` is empty: list one grid or more, such as {_EXAMPLE}.")
    found = [variant for grid in grids for variant in _expanded(grid, sampling)]
    seen: dict[str, str] = {}
    for each in found:
        edits = each.condition.name, each.condition.settings, fingerprint(each.condition)
        other = seen.setdefault(repr((*edits, each.sampling)), each.name)
        if other is not each.name:
            raise ValueError(f"`sweep` lists a setting twice, as {other} and {each.name}: leave it out of one grid.")
    return found


def _expanded(grid: Grid, sampling: SamplingSettings) -> Iterator[Variant]:
    condition = _condition_class(grid.condition)
    _check_names("arguments", grid, list(inspect.signature(condition).parameters))
    _check_names("sampling", grid, [each.name for each in fields(SamplingSettings)])
    for arguments in _combinations(grid.arguments):
        edited = _built(grid, condition, arguments)
        for chosen in _combinations(grid.sampling):
            sampled = _built(grid, SamplingSettings, asdict(sampling) | chosen)
            values = arguments | {key: getattr(sampled, key) for key in chosen}
            words = [edited.name, *(f"{key}-{_words(value)}" for key, value in values.items())]
            yield Variant("__".join(map(_file_name, words)), edited, sampled)


def _built(grid: Grid, kind: type[T], arguments: dict[str, Any]) -> T:
    """A `kind` with these arguments, whose types are checked.

    Raises:
        ValueError: an argument is missing, or of a wrong type or value.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, "it")
    try:
        built: T = parser.instantiate_classes(parser.parse_object({"it": arguments})).it
    except ArgumentError as error:
        reason = " ".join(str(error).replace("it.", "").replace('"it"', "it").split())
        raise ValueError(f"`sweep`: {grid.condition} cannot have {arguments}: {reason}") from error
    return built


def _combinations(values: dict[str, Any]) -> list[dict[str, Any]]:
    lists = [value if isinstance(value, list) else [value] for value in values.values()]
    return [dict(zip(values, chosen, strict=True)) for chosen in product(*lists)]


def _condition_class(name: str) -> type[Condition]:
    module, _, short = name.rpartition(".")
    try:
        found = getattr(import_module(module) if module else conditions, short)
    except (ImportError, AttributeError):
        found = None
    if not _is_condition(found):
        known = ", ".join(each for each in conditions.__all__ if _is_condition(getattr(conditions, each)))
        raise ValueError(
            f"`sweep`: the condition {name!r} is none. Expected one of {known}, or the dotted path of another class, "
            f"such as lightning_modules.conditions.trained.TrainedAdapter; for example {_EXAMPLE}."
        )
    return found


def _is_condition(found: object) -> bool:
    return inspect.isclass(found) and issubclass(found, Condition) and not inspect.isabstract(found)


def _check_names(part: str, grid: Grid, known: Sequence[str]) -> None:
    values: dict[str, Any] = getattr(grid, part)
    if unknown := [name for name in values if name not in known]:
        there = ", ".join(known) or "none"
        raise ValueError(f"`sweep`: {grid.condition} has no `{part}` named {', '.join(unknown)}; there are {there}.")
    if empty := [name for name, value in values.items() if value == []]:
        raise ValueError(f"`sweep`: {grid.condition} has no value for {', '.join(empty)}: list one or more.")


def _words(value: object) -> str:
    """A value for a file name; of a path the last parts, and a fingerprint of all of it."""
    words = str(value)
    return f"{'-'.join(Path(words).parts[-2:])}-{digest(words.encode(), size=3)}" if "/" in words else words


def _file_name(words: str) -> str:
    """As `slug`, but decimal points stay."""
    return ".".join(slug(part, longest=80) for part in words.split("."))
