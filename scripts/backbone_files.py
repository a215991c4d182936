"""The files that a backbone's config needs, found on disk, on the hub or in the hub's cache."""

from collections.abc import Collection, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from lightning_modules import hub_cache as hub
from lightning_modules.diffusion.config import MINIATURE, Backbone
from lightning_modules.hub import Source, files_below, find_source
from lightning_modules.styleshot.detectors import ANNOTATORS, DETECTORS
from scripts.yaml_files import read_yaml

_CONFIGS = Path(__file__).parents[1] / "configs" / "backbone"
_XL = "text_encoder_2/config.json"
_TOKENIZER = ("merges.txt", "tokenizer_config.json", "vocab.json")
_TOWER = ("config.json", "model.safetensors", *_TOKENIZER)
# The one format of weights that every published judge has; OpenAI's have no other.
_JUDGE = ("config.json", "preprocessor_config.json", "pytorch_model.bin", *_TOKENIZER)


class Need(NamedTuple):
    """A folder that a backbone loads, or a file, where `names` is empty.

    `names` are those of its files in the usual formats, for where nobody can be asked for the real ones; `xl` says
    that it counts only with an SDXL model (True), or only without (False).
    """

    argument: str
    top: Source
    inside: str
    names: tuple[str, ...] = ()
    variant: str | None = None
    xl: bool | None = None


class Inventory(NamedTuple):
    """Bytes of the files of a folder or repository, those of them that are here, and what kept from asking the hub."""

    sizes: dict[str, int | None]
    here: frozenset[str]
    failure: Exception | None = None


class File(NamedTuple):
    """A needed file, with its bytes where they are known."""

    need: Need
    name: str
    size: int | None
    here: bool


def shipped_backbones() -> list[str]:
    """Names of the configs in `configs/backbone`."""
    return sorted(path.stem for path in _CONFIGS.glob("*.yaml"))


def read_backbone(name: str) -> tuple[Backbone, dict[str, Any]]:
    """What a shipped config, "sd15", or any other file says of weights.

    Returns:
        The backbone, and the arguments of the judge.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it has no backbone, or one with unknown keys.
    """
    config = _CONFIGS / f"{name}.yaml" if name in shipped_backbones() else Path(name)
    if not config.is_file():
        shipped = ", ".join(shipped_backbones())
        raise FileNotFoundError(f"`backbone`: there is no {str(config)!r}. Give a YAML file, or one of {shipped}.")
    content = read_yaml(config)
    settings = _at(content, "model", "init_args", "backbone")
    unknown = set(settings) - {field.name for field in fields(Backbone)}
    if not settings or unknown:
        raise ValueError(
            f"`backbone`: {str(config)!r} must have arguments of Backbone at model.init_args.backbone, as "
            f"configs/backbone/sd15.yaml has; got {', '.join(sorted(unknown)) or 'none'}."
        )
    judge = _at(content, "scores", "judge", "init_args")
    return Backbone(**settings), judge


def needs_of(backbone: Backbone, judge: dict[str, Any]) -> list[Need]:
    """What loading a backbone and the judge of its config reads; of a StyleShot that of its lines too."""
    model = file = find_source(backbone.model, "model", backbone.revision)
    if backbone.model_config:  # the model is one file, and this folder says how it is built
        model = find_source(backbone.model_config, "model_config")
    needs = _model_needs(model, backbone)
    if backbone.model_config:
        needs.append(Need("model", file._replace(inside=""), file.inside))

    def add(argument: str, name: str | None, default: str, *names: str, xl: bool | None = None) -> None:
        source = find_source(name, argument) if name else model
        top, inside = source._replace(inside=""), source.inside if name else _joined(model.inside, default)
        needs.append(Need(argument, top, inside, names, xl=None if name else xl))

    if backbone.style_encoder:
        add("style_encoder", backbone.style_encoder, "")
    else:
        add("image_encoder", backbone.image_encoder, "image_encoder", "config.json", "model.safetensors")
    # SDXL has the tower as its second text encoder.
    add("text_tower", backbone.text_tower, "text_tower", *_TOWER, xl=False)
    add("ip_adapter", backbone.ip_adapter, "ip.bin" if backbone.style_encoder else "ip_adapter.safetensors")
    if backbone.vae:
        add("vae", backbone.vae, "", "config.json", "diffusion_pytorch_model.safetensors")
    if judge.get("model"):
        source = _judge_source(judge["model"], judge.get("revision"))
        needs.append(Need("scores.judge.model", source, "", _JUDGE))
    if backbone.content_lines and (weights := getattr(DETECTORS[backbone.content_lines], "file", None)):
        add("detector.weights", f"{ANNOTATORS}/{weights}", "")
    return needs


def _model_needs(model: Source, backbone: Backbone) -> list[Need]:
    variant = backbone.variant
    end = f".{variant}.safetensors" if variant else ".safetensors"
    argument, weights = ("model_config", False) if backbone.model_config else ("model", True)
    diffusers, transformers = (
        ("config.json", f"{stem}{end}") if weights else ("config.json",)
        for stem in ("diffusion_pytorch_model", "model")
    )
    needs = [
        Need(argument, model, "", ("model_index.json",)),
        Need(argument, model, "scheduler", ("scheduler_config.json",)),
        Need(argument, model, "tokenizer", _TOKENIZER),
        Need(argument, model, "tokenizer_2", _TOKENIZER, xl=True),
        Need(argument, model, "text_encoder", transformers, variant),
        Need(argument, model, "text_encoder_2", transformers, variant, xl=True),
        Need(argument, model, "unet", diffusers, variant),
        Need(argument, model, "vae", diffusers, variant),
    ]
    return [
        need._replace(top=model._replace(inside=""), inside=_joined(model.inside, need.inside))
        for need in needs
        if need.inside != "vae" or not backbone.vae
    ]


def _judge_source(name: str, revision: str | None) -> Source:
    if name == "miniature":
        return Source(True, str(MINIATURE / "judge"))
    return find_source(name, "scores.judge.model", revision)


def take_inventories(needs: Iterable[Need]) -> dict[Source, Inventory]:
    """The inventory of each folder and repository that is named, each asked for once."""
    arguments = {need.top: need.argument for need in needs}
    return {top: take_inventory(top, argument) for top, argument in arguments.items()}


def take_inventory(top: Source, argument: str) -> Inventory:
    """The files of a local folder or file; or of a repository, as the hub lists it or else as the cache has it.

    Raises:
        OSError: the hub answers, but not with the repository.
    """
    place = top.repository, top.revision
    if top.local:
        return _on_disk(Path(top.repository))
    try:
        commit, sizes = hub.list_repository(*place)
    except hub.errors() as error:
        if not hub.is_unreachable(error):
            raise hub.explained(error, argument, *place) from error
        cached = hub.cached_snapshot(*place)
        return _on_disk(cached)._replace(failure=error) if cached else Inventory({}, frozenset(), error)
    return Inventory(sizes, frozenset(name for name in sizes if hub.cached_file(top.repository, name, commit)))


def _on_disk(path: Path) -> Inventory:
    names = files_below(path) if path.is_dir() else [""]
    sizes: dict[str, int | None] = {name: (path / name).stat().st_size for name in names}
    return Inventory(sizes, frozenset(sizes))


def needed(needs: Iterable[Need], inventories: dict[Source, Inventory]) -> list[File]:
    """The files that the needs come to, each once."""
    files = []
    for need in needs:
        sizes, here, _ = inventories[need.top]
        if need.xl is None or need.xl == _is_xl(need.top, sizes):
            files += [File(need, name, sizes.get(name), name in here) for name in _names(need, sizes)]
    return files


def _is_xl(model: Source, names: Collection[str]) -> bool:
    """Whether the model has SDXL's second text encoder; by its name where nobody can be asked."""
    return any(name.endswith(_XL) for name in names) if names else "xl" in model.repository.lower()


def _names(need: Need, sizes: Iterable[str]) -> list[str]:
    if not need.names:
        return [need.inside]
    wants_weights = hub.has_weights(need.names)
    names = hub.needed_files(hub.in_folder(sizes, need.inside), wants_weights, need.variant)
    if not names:
        names = list(need.names)
    elif wants_weights and not hub.has_weights(names):
        names += [name for name in need.names if hub.has_weights([name])]
    return [_joined(need.inside, name) for name in names]


def _joined(*parts: str) -> str:
    return "/".join(part for part in parts if part)


def _at(content: Any, *keys: str) -> dict[str, Any]:
    """The mapping under the keys, empty where there is none."""
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else {}
