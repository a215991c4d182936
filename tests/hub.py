"""A Hugging Face hub of local folders, behind the functions of the library that the project calls."""

import shutil
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import EntryNotFoundError

from lightning_modules import hub_cache as hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub:
    """Repositories by name, each a folder with one commit; `fetched` are the names that were downloaded."""

    def __init__(self, repositories: dict[str, Path], cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.repositories, self.cache = repositories, cache
        self.fetched: list[str] = []
        self.failure: Exception | None = None  # raised in place of every answer
        self._from_cache = huggingface_hub.snapshot_download
        hub.list_repository.cache_clear()
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(huggingface_hub, "HfApi", lambda: self)
        monkeypatch.setattr(huggingface_hub, "snapshot_download", self.snapshot_download)
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", self.hf_hub_download)

    def model_info(self, repository: str, *, revision: str | None, files_metadata: bool, timeout: float) -> Any:
        """Names and bytes of the files."""
        if self.failure:
            raise self.failure
        folder = self.repositories[repository]
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        siblings = [
            SimpleNamespace(rfilename=path.relative_to(folder).as_posix(), size=path.stat().st_size) for path in files
        ]
        return SimpleNamespace(sha=COMMIT, siblings=siblings)

    def snapshot_download(
        self,
        repository: str,
        *,
        revision: str | None,
        allow_patterns: list[str],
        local_files_only: bool = False,
    ) -> str:
        """Copies files into the cache, in the library's own layout."""
        if local_files_only:
            return str(
                self._from_cache(repository, revision=revision, allow_patterns=allow_patterns, local_files_only=True)
            )
        top = self.cache / f"models--{repository.replace('/', '--')}"
        (top / "refs").mkdir(parents=True, exist_ok=True)
        (top / "refs" / (revision or "main")).write_text(COMMIT)
        for file in self.model_info(repository, revision=revision, files_metadata=True, timeout=0).siblings:
            if any(fnmatch(file.rfilename, pattern) for pattern in allow_patterns):
                target = top / "snapshots" / COMMIT / file.rfilename
                target.parent.mkdir(parents=True, exist_ok=True)
                if not target.exists():
                    shutil.copy(self.repositories[repository] / file.rfilename, target)
                    self.fetched.append(file.rfilename)
        return str(top / "snapshots" / COMMIT)

    def hf_hub_download(self, repository: str, name: str, *, revision: str | None) -> str:
        """Remembers, in the library's own layout, that the repository has no such file."""
        assert not (self.repositories[repository] / name).exists()
        missing = self.cache / f"models--{repository.replace('/', '--')}" / ".no_exist" / (revision or COMMIT) / name
        missing.parent.mkdir(parents=True, exist_ok=True)
        missing.touch()
        raise EntryNotFoundError(name)
