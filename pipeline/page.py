"""Pages that open without a server or a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

SHARED = Path(__file__).parent / "pages"


def pages_in(folder: Path) -> Environment:
    """The templates of a folder, beside those that all pages share. What is put into them is text, never markup."""
    from jinja2 import Environment, FileSystemLoader

    return Environment(loader=FileSystemLoader([folder, SHARED]), autoescape=True, trim_blocks=True)


def rendered(folder: Path, template: str, **told: object) -> str:
    return pages_in(folder).get_template(template).render(**told)
