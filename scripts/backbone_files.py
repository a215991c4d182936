"""The files that a backbone's config needs, found on disk, on the hub or in the hub's cache."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from lightning_modules import hub_cache as hub
from lightning_modules.diffusion.config import MINIATURE, Backbone
from lightning_modules.hub import Source, files_below, find_source
from lightning_modules.styleshot.detectors import ANNOTATORS, DETECTORS
from scripts.yaml_files import mapping_at, read_yaml

_CONFIGS = Path(__file__).parents[1] / "configs" / "backbone"
_TOKENIZER = ("merges.txt", "tokenizer_config.json", "vocab.json")
_DIFFUSERS, _TRANSFORMERS = "diffusion_pytorch_model", "model"
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
    """The backbone and the arguments of the judge that a shipped config, "sd15", or any other file names.

    Raises FileNotFoundError where there is no such file, ValueError where it has no backbone, or one with unknown keys.
    """
    config = _CONFIGS / f"{name}.yaml" if name in shipped_backbones() else Path(name)
    if not config.is_file():
        shipped = ", ".join(shipped_backbones())
        raise FileNotFoundError(f"`backbone`: there is no {str(config)!r}. Give a YAML file, or one of {shipped}.")
    content = read_yaml(config)
    settings = mapping_at(content, "model", "init_args", "backbone")
    unknown = set(settings) - {field.name for field in fields(Backbone)}
    if not settings or unknown:
        raise ValueError(
            f"`backbone`: {str(config)!r} must have arguments of Backbone at model.init_args.backbone, as "
            f"configs/backbone/sd15.yaml has; got {', '.join(sorted(unknown)) or 'none'}."
        )
    return Backbone(**settings), mapping_at(content, "scores", "judge", "init_args")


def needs_of(backbone: Backbone, judge: Mapping[str, Any]) -> list[Need]:
    """What loading a backbone and the judge of its config reads; of a StyleShot that of its lines too."""
    model = find_source(backbone.model, "model", backbone.revision)
    settings = find_source(backbone.model_config, "model_config") if backbone.model_config else model
    needs = list(_model_needs(settings, backbone))
    if backbone.model_config:  # the model is one file, and the folder says how it is built
        needs.append(_need("model", model))

    def beside(argument: str, default: str, *names: str, xl: bool | None = None) -> Need:
        """What has an argument of its own, and otherwise lies beside the model."""
        if name := getattr(backbone, argument):
            return _need(argument, find_source(name, argument), "", *names)
        return _need(argument, settings, default, *names, xl=xl)

    if backbone.style_encoder:
        needs.append(beside("style_encoder", ""))
    else:
        needs.append(beside("image_encoder", "image_encoder", "config.json", "model.safetensors"))
    # SDXL has the tower as its second text encoder.
    needs.append(beside("text_tower", "text_tower", "config.json", "model.safetensors", *_TOKENIZER, xl=False))
    needs.append(beside("ip_adapter", "ip.bin" if backbone.style_encoder else "ip_adapter.safetensors"))
    if backbone.vae:
        needs.append(beside("vae", "", "config.json", f"{_DIFFUSERS}.safetensors"))
    if name := judge.get("model"):
        argument = "scores.judge.model"
        shipped = Source(True, str(MINIATURE / "judge"))
        source = shipped if name == "miniature" else find_source(name, argument, judge.get("revision"))
        needs.append(Need(argument, source, "", _JUDGE))
    if backbone.content_lines and (lines := getattr(DETECTORS[backbone.content_lines], "file", None)):
        needs.append(_need("detector.weights", find_source(f"{ANNOTATORS}/{lines}", "detector.weights")))
    return needs


def _need(argument: str, source: Source, part: str = "", *names: str, **options: Any) -> Need:
    return Need(argument, source._replace(inside=""), _joined(source.inside, part), names, **options)


def _model_needs(model: Source, backbone: Backbone) -> Iterator[Need]:
    """Of a model in one file, settings and vocabulary alone."""
    argument, variant = "model_config" if backbone.model_config else "model", backbone.variant
    end = f".{variant}.safetensors" if variant else ".safetensors"

    def network(part: str, stem: str, xl: bool | None = None) -> Need:
        files = () if backbone.model_config else (f"{stem}{end}",)
        return _need(argument, model, part, "config.json", *files, variant=variant, xl=xl)

    yield _need(argument, model, "", "model_index.json")
    yield _need(argument, model, "scheduler", "scheduler_config.json")
    yield _need(argument, model, "tokenizer", *_TOKENIZER)
    yield _need(argument, model, "tokenizer_2", *_TOKENIZER, xl=True)
    yield network("text_encoder", _TRANSFORMERS)
    yield network("text_encoder_2", _TRANSFORMERS, xl=True)
    yield network("unet", _DIFFUSERS)
    if not backbone.vae:
        yield network("vae", _DIFFUSERS)


def take_inventories(needs: Iterable[Need]) -> dict[Source, Inventory]:
    """The files of each local folder, or file; and of each repository, as the hub lists it or else as the cache has it.

    Raises OSError where the hub answers, but not with the repository.
    """
    arguments = {need.top: need.argument for need in needs}
    return {top: _take_inventory(top, argument) for top, argument in arguments.items()}


def _take_inventory(top: Source, argument: str) -> Inventory:
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


def needed(needs: Iterable[Need], inventories: Mapping[Source, Inventory]) -> list[File]:
    """The files that the needs come to, each once."""
    files = []
    for need in needs:
        sizes, here, _ = inventories[need.top]
        # SDXL is told by its second text encoder; by its name where nobody can be asked.
        has_second = any(name.endswith("text_encoder_2/config.json") for name in sizes)
        is_xl = has_second if sizes else "xl" in need.top.repository.lower()
        if need.xl in (None, is_xl):
            files += [File(need, name, sizes.get(name), name in here) for name in _names(need, sizes)]
    return files


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
    return "/".join(filter(None, parts))
