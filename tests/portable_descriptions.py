"""Hypothesis strategies for the job descriptions that ARC's own languages can express."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from jasmin_arc import JobDescription

MEGABYTE = 1024 * 1024
# In ARC's own form, with the port, so that both sides can be compared.
URLS = st.sampled_from(
    ["https://h.example:443/a%20b?x=1", "gsiftp://h.example:2811/p;x=y", "root://h.example:1094//data/f"]
)
CONTROLS = "".join(chr(code) for code in range(32) if chr(code) not in "\t\n\r") + "\x00\ufffe\uffff"
XML_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=CONTROLS), max_size=12)
TRICKY_TEXTS = st.text(st.sampled_from("(*)\"'#$&|+^=<> \\\n\ta;%{}[]"), max_size=12)
CONTROL_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)

_PARTS = st.text(
    st.one_of(st.sampled_from("ab.-_ \"'#%;:=@(*$~+é"), st.characters(exclude_categories=["C", "Z"])),
    min_size=1,
    max_size=6,
).filter(
    lambda part: (
        part.isprintable() and "/" not in part and part.strip(".") and not part.startswith(("~", ".jasmin_arc"))
    )
)
NAMES = st.lists(_PARTS, min_size=1, max_size=2).map("/".join).filter(lambda name: name not in ("stdout", "stderr"))
PATHS = st.tuples(st.sampled_from(["", "/", "/d/", "../", "d/"]), NAMES).map("".join).map(Path)
VARIABLES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,6}", fullmatch=True)
WORDS = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_.]{0,6}", fullmatch=True)
BARE_NAMES = _PARTS.filter(lambda part: part.strip() and part[0] not in "-$" and "=" not in part)


@st.composite
def portable_descriptions(draw: st.DrawFn, texts: st.SearchStrategy[str] = XML_TEXTS) -> JobDescription:
    """A description that says the same in ADL and in xRSL; its arguments and variables are ``texts``."""
    inputs: dict[str, Any] = draw(st.dictionaries(NAMES, st.one_of(PATHS, URLS), max_size=3))
    programs = [NAMES.map("/".__add__), BARE_NAMES]
    if inputs:
        programs.append(st.sampled_from(sorted(inputs)).filter(lambda name: name[0] not in "-$"))
        programs.append(st.sampled_from(sorted(inputs)).map("./".__add__))
    slots = draw(st.integers(1, 64))
    seconds = st.one_of(st.none(), st.integers(1, 10 * 365 * 86400).map(lambda number: timedelta(seconds=number)))
    keeps = st.dictionaries(
        NAMES.filter(lambda name: not set(name) & set("*?[") and name[0] != "@"), st.one_of(st.none(), URLS), max_size=3
    )
    return JobDescription(
        executable=draw(st.one_of(programs)),
        arguments=draw(st.lists(st.one_of(texts, TRICKY_TEXTS), max_size=4)),
        name=draw(_PARTS.filter(str.strip)),
        inputs=inputs,
        outputs=draw(st.one_of(st.none(), keeps)),
        environment=draw(st.dictionaries(VARIABLES, st.one_of(texts, TRICKY_TEXTS), max_size=2)),
        queue=draw(st.one_of(st.none(), WORDS)),
        slots=slots,
        slots_per_host=draw(st.one_of(st.none(), st.integers(1, slots))),
        memory=draw(st.one_of(st.none(), st.integers(1, 10**6).map(MEGABYTE.__mul__))),
        wall_time=draw(seconds),
        cpu_time=draw(seconds),
        runtime_environments=draw(st.lists(WORDS.map("ENV/".__add__), max_size=2, unique=True)),
        stdin=draw(st.one_of(st.none(), PATHS)),
        rerun=draw(st.integers(0, 5)),
    )
