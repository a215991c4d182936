"""`maskst weights`: what the configs of backbones need, what of it is here, and fetching the rest from the hub."""

import argparse
from collections.abc import Collection, Iterable, Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lightning_modules import hub_cache as hub
from lightning_modules.hub import fetch_file, fetch_folder
from scripts.backbone_files import File, Inventory, needed, needs_of, read_backbone, shipped_backbones, take_inventories


def weights(backbone: str | None = None, fetch: bool = False) -> None:
    """Print the files that a backbone needs, with their bytes and whether they are here; `fetch` brings the others.

    `backbone` is as on the command line. Raises FileNotFoundError where there is no such config, or no such repository,
    revision or file on the hub, and ConnectionError where `fetch` is given and the hub cannot be reached.
    """
    console = Console()
    for name in [backbone] if backbone else shipped_backbones():
        needs = needs_of(*read_backbone(name))
        inventories = take_inventories(needs)
        files = needed(needs, inventories)
        if fetch and (missing := [file for file in files if not file.here]):
            _fetch(missing)
            files = needed(needs, take_inventories(needs))
        console.print(as_table(files, Text(f"{name}: {totals(files)}")))
        console.print(_advice(name, files, inventories.values()), highlight=False, markup=False, soft_wrap=True)


def _fetch(missing: Iterable[File]) -> None:
    """Bring files of hub repositories into the hub's cache, under the library's progress bars."""
    for need in dict.fromkeys(file.need for file in missing if not file.need.top.local):
        source = need.top.within(need.inside)
        if need.names:
            fetch_folder(source, need.argument, hub.has_weights(need.names), need.variant)
        else:
            fetch_file(source, need.argument)


def as_table(files: Iterable[File], title: Text) -> Table:
    """The files by argument, under the name that the argument has."""
    table = Table(title=title, title_justify="left")
    table.add_column("file", overflow="fold")
    table.add_column("bytes", justify="right", no_wrap=True)
    table.add_column("here", no_wrap=True)
    for (argument, top), group in groupby(files, lambda file: (file.need.argument, file.need.top)):
        table.add_section()
        revision = f"@{top.revision}" if top.revision else ""
        table.add_row(Text(f"{argument}: {top.repository}{revision}", style="bold"))
        for file in group:
            table.add_row(Text(f"  {file.name or '(this file)'}"), as_bytes(file.size), "yes" if file.here else "no")
    return table


def as_bytes(size: int | None) -> str:
    """A size to three figures, in decimal units."""
    if size is None:
        return "unknown"
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size} B"


def totals(files: Collection[File]) -> str:
    """Numbers and bytes of all files, and of those that are missing."""

    def total(files: Collection[File]) -> str:
        sizes = list({(file.need.top, file.name): file.size for file in files}.values())
        unknown = sizes.count(None)
        known = as_bytes(sum(size or 0 for size in sizes)) if unknown < len(sizes) or not sizes else ""
        rest = f"bytes of {unknown} unknown" if unknown else ""
        return ", ".join(filter(None, (f"{len(sizes)} files", known, rest)))

    return f"{total(files)}; missing {total([file for file in files if not file.here])}"


def _advice(name: str, files: Iterable[File], inventories: Iterable[Inventory]) -> str:
    """What to do about what is missing."""
    from huggingface_hub.constants import HF_HUB_CACHE

    lacking = [file for file in files if not file.here]
    if not lacking:
        return "All of it is here."
    local = "a local folder or file works in place of each name, as in `--model.backbone.model FOLDER`"
    if all(file.need.top.local for file in lacking):
        return f"Local folders lack files, which cannot be fetched: complete them, or name others; {local}."
    if any(inventory.failure for inventory in inventories):
        return (
            f"The hub cannot be reached: run `maskst weights {name} --fetch` on a machine where it can, or fetch the "
            f"files above there by `hf download NAME --revision REVISION FILES`, and copy its cache to {HF_HUB_CACHE} "
            f"here; {local}."
        )
    return f"`maskst weights {name} --fetch` fetches what is missing into {HF_HUB_CACHE}; {local}."


def main(args: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser("maskst weights", description=__doc__)
    shipped = ", ".join(shipped_backbones())
    parser.add_argument("backbone", nargs="?", help=f"{shipped}, or the YAML file of another; default: these all")
    parser.add_argument("--fetch", action="store_true", help="fetch what is missing; an interrupted fetch goes on")
    weights(**vars(parser.parse_args(args)))


if __name__ == "__main__":
    main()
