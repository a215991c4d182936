"""The settings of a sweep: lists of values become one variant for each combination."""

import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from jsonargparse import ArgumentError, ArgumentParser

from datamodules.names import digest, slug
from lightning_modules import conditions
from lightning_modules.conditions import Condition
from lightning_modules.diffusion.config import SamplingSettings
from lightning_modules.style_transfer import fingerprint

T = TypeVar("T")
EXAMPLE = "{condition: InstantStyle, arguments: {strength: [1.0, 0.5]}, sampling: {scale: [1.0, 0.5]}}"
_LONGEST = 80
_PLAIN = re.compile(r"[a-z0-9]+([._][a-z0-9]+)*")


@dataclass
class SweptMethod:
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


def variants(swept: Sequence[SweptMethod], sampling: SamplingSettings) -> list[Variant]:
    """All settings, in order; what a method does not say about sampling is as in `sampling`.

    Raises:
        ValueError: there is no method, or one names no condition, an unknown argument, no value or a wrong one, or a
            setting again.
    """
    if not swept:
        raise ValueError(f"`sweep` is empty: list one method or more, such as {EXAMPLE}.")
    found = [variant for method in swept for variant in _expanded(method, sampling)]
    seen: dict[str, str] = {}
    for each in found:
        edits = each.condition.name, each.condition.settings, fingerprint(each.condition)
        other = seen.setdefault(repr((*edits, each.sampling)), each.name)
        if other is not each.name:
            raise ValueError(f"`sweep` lists a setting twice, as {other} and {each.name}: leave one of the two out.")
    names = [each.name for each in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(
            f"`sweep` has two settings whose folder would be `{twice.pop()}`: expected names that differ. Give their "
            "conditions different names, or draw them in two sweeps."
        )
    return found


def _expanded(method: SweptMethod, sampling: SamplingSettings) -> Iterator[Variant]:
    condition = _condition_class(method.condition)
    _check_names("arguments", method, list(inspect.signature(condition).parameters))
    _check_names("sampling", method, [each.name for each in fields(SamplingSettings)])
    for arguments in _combinations(method.arguments):
        edited = _built(method, condition, arguments)
        for chosen in _combinations(method.sampling):
            sampled = _built(method, SamplingSettings, asdict(sampling) | chosen)
            values = arguments | {key: getattr(sampled, key) for key in chosen}
            name = "__".join([_file_name(edited.name), *(_word(key, value) for key, value in values.items())])
            yield Variant(_short(name), edited, sampled)


def _built(method: SweptMethod, kind: type[T], arguments: dict[str, Any]) -> T:
    """A `kind` with these arguments, whose types are checked; ValueError where one is missing or wrong."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, "it")
    try:
        built: T = parser.instantiate_classes(parser.parse_object({"it": arguments})).it
    except ArgumentError as error:
        reason = " ".join(str(error).replace("it.", "").replace('"it"', "it").split())
        raise ValueError(f"`sweep`: {method.condition} cannot have {arguments}: {reason}") from error
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
            f"such as lightning_modules.conditions.trained.TrainedAdapter; for example {EXAMPLE}."
        )
    return found


def _is_condition(found: object) -> bool:
    return inspect.isclass(found) and issubclass(found, Condition) and not inspect.isabstract(found)


def _check_names(part: str, method: SweptMethod, known: Sequence[str]) -> None:
    values: dict[str, Any] = getattr(method, part)
    if unknown := [name for name in values if name not in known]:
        there = ", ".join(known) or "none"
        raise ValueError(f"`sweep`: {method.condition} has no `{part}` named {', '.join(unknown)}; there are {there}.")
    if empty := [name for name, value in values.items() if value == []]:
        raise ValueError(f"`sweep`: {method.condition} has no value for {', '.join(empty)}: list one or more.")


def _word(key: str, value: object) -> str:
    """A value with its key for a file name, in which other values are other ones: where letters, a sign or more are
    lost, with a fingerprint of the whole; of a path the last parts.
    """
    exact = str(value)
    word = f"{key}-{'-'.join(Path(exact).parts[-2:]) if '/' in exact else exact}"
    if len(word) <= _LONGEST and (_PLAIN.fullmatch(exact) or value in (True, False, None)):
        return _file_name(word)
    return f"{_file_name(word)}-{digest(exact.encode(errors='surrogatepass'), size=3)}"


def _short(name: str) -> str:
    return name if len(name) <= 2 * _LONGEST else f"{name[: 2 * _LONGEST]}-{digest(name.encode(), size=3)}"


def _file_name(words: str) -> str:
    """As `slug`, but decimal points stay."""
    return ".".join(slug(part, longest=_LONGEST) for part in words.split("."))
