"""How Sphinx builds the documentation."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sphinx import addnodes

from jasmin_arc import __version__

project = "jasmin-arc-py"
project_copyright = "the jasmin-arc-py developers"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_title = f"{project} {version}"
html_show_sphinx = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
add_module_names = False
python_maximum_signature_line_length = 88

# Of a session, the commands are copied: neither the prompt nor what was printed.
copybutton_prompt_text = "$ "
copybutton_selector = (
    "div.highlight-python pre, div.highlight-sh pre, div.highlight-console pre, div.highlight-json pre"
)

_READABLE = ((r"= Ellipsis", "= sys.stdout"), (r"= <factory>", "= new"))


def _make_readable(*event: Any) -> tuple[str | None, str | None]:
    """Show defaults as a reader knows them."""
    signature, returned = event[5:]
    for pattern, shown in _READABLE:
        signature = signature and re.sub(pattern, shown, signature)
    return signature, returned


def _leave_out_unpack(_app: Any, _domain: str, _kind: str, content: addnodes.desc_content) -> None:
    """Show keywords as ``**fields``; that they are those of a class is for type checkers."""
    for parameter in content.parent.findall(addnodes.desc_parameter):
        if "Unpack[" in parameter.astext():
            parameter.children = parameter.children[:2]


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("object-description-transform", _leave_out_unpack)
    app.connect("autodoc-process-signature", _make_readable)
