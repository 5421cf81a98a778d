"""Every version's Data Docs side by side, below one page that lists them."""

from __future__ import annotations

from pathlib import Path

from pipeline.adapters.versions import Versions
from pipeline.dataset.history import Version, tags, versions
from pipeline.dataset.page import HERE
from pipeline.errors import GenloopError
from pipeline.files import link, replacing_folder, write_text
from pipeline.page import rendered


def docs_site(workspace: Path, out: Path) -> Path:
    """The page, `index.html` in the folder `out`. Docs that are there already stay; the others come from DVC."""
    known, names, store = versions(workspace), tags(workspace), Versions(workspace)
    rows = []
    for version in reversed(known):
        called = ", ".join(name for name, number in names.items() if number == version.number)
        rows.append((version, called, _checks(store, version, out)))
    write_text(out / "index.html", rendered(HERE, "log.html", title="Dataset versions", rows=rows))
    return out / "index.html"


def _checks(store: Versions, version: Version, out: Path) -> str:
    """Where a version's docs begin, from `out`; empty where they are lost."""
    folder = out / f"{version.number:06}"
    if not folder.exists():
        if version.docs is None or version.dropped:
            return ""
        try:
            files = store.files(version.docs.md5)
        except GenloopError:
            return ""
        with replacing_folder(folder) as temporary:
            for name, path in files.items():
                (temporary / name).parent.mkdir(parents=True, exist_ok=True)
                link(path, temporary / name)
    return f"{folder.name}/index.html"
