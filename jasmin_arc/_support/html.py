"""HTML for notebooks: no script, no style sheet, nothing from elsewhere, and readable where styles are dropped.

Colours are those of the theme, light or dark: JupyterLab's, else VS Code's, else some that suit both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jasmin_arc._support.text import printable, without_secrets_of_urls

MAX_TEXT = 500
"""The most characters that one text of others may take"""
_BORDER = "var(--jp-border-color2, var(--vscode-panel-border, rgba(128,128,128,.4)))"
_FRAME = (
    f"display:inline-block;max-width:100%;overflow-x:auto;border:1px solid {_BORDER};border-radius:4px;padding:8px 12px"
)
# JupyterLab aligns cells at the right and centres tables.
_TABLE = "margin:4px 0;border-collapse:collapse;border:none;font-size:inherit"
_CELL = "text-align:left;vertical-align:top;padding:2px 16px 2px 0"
_ROW = "background:none"
_QUIET = "opacity:.7"
_TONES = {
    "completed": "var(--jp-success-color1, var(--vscode-charts-green, #43a047))",
    "failed": "var(--jp-error-color1, var(--vscode-charts-red, #e53935))",
    "cancelled": "var(--jp-warn-color1, var(--vscode-charts-orange, #f57c00))",
    "in progress": "var(--jp-info-color1, var(--vscode-charts-blue, #1e88e5))",
}
_NO_TONE = "rgba(128,128,128,.6)"


class Html(str):
    """Markup. Every other text is escaped where it is put into markup, so that no text becomes a tag."""


def tag(name: str, *content: str, style: str = "") -> Html:
    """Return an element with this content.

    :param style: a constant, never a text of others
    """
    inside = "".join(part if isinstance(part, Html) else _escaped(part) for part in content)
    return Html(f'<{name} style="{style}">{inside}</{name}>' if style else f"<{name}>{inside}</{name}>")


def joined(parts: Iterable[str], between: str = " ") -> Html:
    """Return the parts in one line."""
    texts = (part if isinstance(part, Html) else _escaped(part) for part in parts)
    return Html(_escaped_as_is(between).join(texts))


def frame(*content: str) -> Html:
    """Return what one object shows, with a border around it."""
    # MathJax of notebooks would make a formula of what is between two dollars.
    inside = tag("div", *content, style=_FRAME)
    return Html(f'<div class="tex2jax_ignore mathjax_ignore">{inside}</div>')


def heading(title: str, *more: str) -> Html:
    """Return the first line: a title, and more about it."""
    return tag("div", joined([tag("b", title), *more], "  "))


def quiet(text: str) -> Html:
    """Return what matters less."""
    return tag("span", text, style=_QUIET)


def status(word: str) -> Html:
    """Return a status with a dot in its colour."""
    return joined([tag("span", "●", style=f"color:{_TONES.get(word, _NO_TONE)}"), word])


def bar(shares: Iterable[tuple[str, int]]) -> Html:
    """Return a bar with a part for each status, as long as its share."""
    known = [(word, share) for word, share in shares if share]
    parts = [tag("div", style=f"flex:{share};background:{_TONES.get(word, _NO_TONE)}") for word, share in known]
    style = "display:flex;height:6px;border-radius:3px;overflow:hidden;margin:6px 0"
    return tag("div", *parts, style=style) if parts else Html()


def properties(pairs: Iterable[tuple[str, str]]) -> Html:
    """Return a table of names and values."""
    rows = [tag("tr", _cell(quiet(name)), _cell(value), style=_ROW) for name, value in pairs]
    return tag("table", tag("tbody", *rows), style=_TABLE) if rows else Html()


def grid(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Html:
    """Return a table whose columns have headings."""
    head = tag("thead", tag("tr", *(tag("th", text, style=_CELL) for text in headings), style=_ROW))
    body = tag("tbody", *(tag("tr", *map(_cell, row), style=_ROW) for row in rows))
    return tag("table", head, body, style=_TABLE)


def _cell(content: str) -> Html:
    return tag("td", content, style=_CELL)


def _escaped(text: str) -> str:
    # Notebooks are shared, and servers quote URLs with their signatures.
    return _escaped_as_is(printable(without_secrets_of_urls(text), max_length=MAX_TEXT))


def _escaped_as_is(text: str) -> str:
    # Here, as it takes a while to load.
    from html import escape

    return escape(text)
