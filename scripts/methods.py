"""The methods that need no training, by the names of their configs."""

import inspect
from collections.abc import Sequence
from pathlib import Path

from lightning_modules import conditions
from scripts.variants import SweptMethod
from scripts.yaml_files import mapping_at, read_yaml

METHODS = {
    name: Path(__file__).parents[1] / "configs" / "predict" / f"{name}.yaml"
    for name in ("masking", "masking_quantile", "instantstyle", "ip_adapter", "styleshot")
}
"""Name -> config; StyleShot takes a backbone that has its encoder."""
ALL = "all"


def check_names(names: Sequence[str]) -> None:
    """Raises ValueError where there is no such method."""
    if unknown := [name for name in names if name not in (*METHODS, ALL)]:
        raise ValueError(f"`--method`: there is no {unknown[0]!r}. Give one of {', '.join(METHODS)}, or {ALL}.")


def has_styleshot(configs: Sequence[str]) -> bool:
    """Whether the backbone that stacked configs come to has StyleShot's encoder."""
    for file in map(Path, reversed(configs)):
        backbone = mapping_at(read_yaml(file), "model", "init_args", "backbone") if file.is_file() else {}
        if "style_encoder" in backbone:
            return backbone["style_encoder"] is not None
    return False


def chosen_methods(names: Sequence[str], has_styleshot: bool) -> list[str]:
    """The methods that are asked for, each once; "all" stands for those that the backbone can draw.

    Raises:
        ValueError: there is no such method, or the backbone cannot draw it.
    """
    check_names(names)
    known = [name for name in METHODS if name != ("ip_adapter" if has_styleshot else "styleshot")]
    if misfit := [name for name in names if name not in (*known, ALL)]:
        needs = "without StyleShot's encoder" if has_styleshot else "that has StyleShot's encoder"
        raise ValueError(
            f"`--method`: {misfit[0]} needs a backbone {needs}, another `--config configs/backbone/....yaml`. This one "
            f"draws {', '.join(known)}."
        )
    return list(dict.fromkeys(known if ALL in names else names))


def swept(name: str, strength: float | None = None) -> SweptMethod:
    """A method of `METHODS` as its config has it, with another strength where it has one."""
    condition = read_yaml(METHODS[name])["model"]["init_args"]["condition"]
    if isinstance(condition, str):
        condition = {"class_path": condition}
    arguments = dict(condition.get("init_args", {}))
    if strength is not None and takes_strength(name):
        arguments["strength"] = strength
    return SweptMethod(condition["class_path"], arguments)


def takes_strength(name: str) -> bool:
    """Whether a method of `METHODS` has a strength."""
    return "strength" in inspect.signature(getattr(conditions, swept(name).condition)).parameters
