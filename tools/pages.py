# SPDX-License-Identifier: Apache-2.0
"""Reports as one self-contained HTML file each: no script, no font, no style from elsewhere.

A report's template stands beside it, in its folder's `templates`, and fills the frame of `tools/templates`.
"""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_FRAME = Path(__file__).parent / "templates"


def render(folder: Path, template: str, **values: object) -> str:
    """Return a page from a template of `folder`; text is escaped, but for what is `markupsafe.Markup`."""
    where = FileSystemLoader([folder / "templates", _FRAME])
    pages = Environment(loader=where, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return pages.get_template(template).render(values)
