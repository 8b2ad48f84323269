"""The doctor's answer as one HTML page: findings, the bundle's dependency graph and its sizes. Readable offline."""

from __future__ import annotations

import os
import pwd
import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple

from aotpack import __version__
from aotpack_doctor.base.places import PYTHON_LIB
from aotpack_doctor.facts import Bundle, HostFacts
from aotpack_doctor.findings.finding import Finding, worst_first
from aotpack_doctor.render import conclusion, summaries_of

Clean = Callable[[str], str]

#: Files in the table of the largest ones, boxes of the graph side by side.
_SHOWN, _ACROSS = 15, 5

#: Names that many models share: shown with their folder.
_COMMON = ("model.so", "weights.blob", "python3")

#: Colours of the parts of a bundle, which both drawings share.
_COLOURS = {
    "runtime": "#4c78a8",
    "bridge": "#f58518",
    "model": "#e45756",
    "python": "#72b7b2",
    "libc": "#54a24b",
    "runner": "#eeca3b",
    "launcher": "#b279a2",
    "headers": "#ff9da6",
    "assets": "#d4a6c8",
    "licenses": "#9d755d",
}
_OTHER_COLOUR = "#bab0ac"

_STYLE = """
:root{color-scheme:light dark;--text:#222;--quiet:#666;--paper:#fff;--card:#f4f4f4;--line:#9a9a9a}
@media(prefers-color-scheme:dark){:root{--text:#ddd;--quiet:#999;--paper:#161616;--card:#262626;--line:#777}}
body{font:15px/1.5 system-ui,sans-serif;max-width:66em;margin:2em auto;padding:0 1em;color:var(--text);
background:var(--paper);overflow-wrap:anywhere}
h1{font-size:1.5em;margin-bottom:.3em}h2{font-size:1.15em;margin:2em 0 .6em}
code,pre{font:13px/1.4 ui-monospace,monospace}
table{border-collapse:collapse}td,th{padding:.1em 1em .1em 0;text-align:left;vertical-align:top}
th{overflow-wrap:normal;white-space:nowrap}
td.number{text-align:right;white-space:nowrap}p{margin:.3em 0}.quiet{color:var(--quiet)}
.finding{border-left:4px solid;padding:.2em 1em;margin:1.2em 0}
.error{border-color:#c62828}.warning{border-color:#ef6c00}
.info{border-color:#0277bd}.ok{border-color:#2e7d32}
pre{background:var(--card);padding:.5em;overflow-x:auto;margin:.4em 0;overflow-wrap:normal}
.legend{display:flex;flex-wrap:wrap;gap:.2em 1.4em;margin-bottom:.6em}
.legend i{display:inline-block;width:.8em;height:.8em;
margin-right:.4em}.drawing{overflow-x:auto}svg{display:block;width:100%;min-width:46em;height:auto}
svg text{font:12px ui-monospace,monospace}.graph rect{fill:var(--card);stroke:var(--line);stroke-width:2}
.graph text{fill:var(--text)}.graph path{fill:none;stroke:var(--line)}.graph .absent{stroke-dasharray:4}
.map rect{stroke:var(--paper)}.map text{fill:#000}details{margin-top:.8em}summary{cursor:pointer}
"""

#: Pixels of a character of the drawings' font.
_CHARACTER = 7.3


class Rectangle(NamedTuple):
    """A place in a drawing."""

    x: float
    y: float
    width: float
    height: float


def page(facts: HostFacts, findings: list[Finding], *, with_names: bool = False) -> str:
    """The page.

    Args:
        facts: what was looked at.
        findings: what was found.
        with_names: leave the home folder, host and user name in it.
    """
    clean: Clean = str if with_names else redactor(os.environ, socket.gethostname())
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>aotpack doctor</title><style>{_STYLE}</style><h1>aotpack doctor</h1>",
        f"<p class=quiet>aotpack {escape(__version__)}</p>",
        f"<p><b>{escape(clean(conclusion(findings)))}</b></p>",
        *_summary(facts, clean),
        "<h2>Findings</h2>",
        *(_finding(found, clean) for found in worst_first(findings)),
    ]
    if not findings:
        parts.append("<p class='finding ok'>None.</p>")
    if facts.bundle is not None and facts.bundle.sizes:
        parts += ["<h2>Sizes</h2>", *_legend(facts.bundle), treemap(facts.bundle.sizes, clean)]
        parts += [*_largest(facts.bundle, clean)]
    if facts.bundle is not None and facts.bundle.edges:
        parts += ["<h2>Dependencies</h2>"]
        parts.append("<p class=quiet>Who needs whom, from above; what follows from other lines is left out.</p>")
        parts += [graph(facts.bundle, clean), *_needs(facts.bundle, clean)]
    return "\n".join(parts) + "\n"


def redactor(env: Mapping[str, str], host: str) -> Clean:
    """A function that takes home folders, user and host name out of a text."""
    words = {env.get(name, ""): "USER" for name in ("USER", "LOGNAME", "SUDO_USER")}
    words |= {host: "HOST", host.partition(".")[0]: "HOST"}
    homes = {env.get("HOME", "").rstrip("/")}
    try:
        entry = pwd.getpwuid(os.getuid())
        words[entry.pw_name] = "USER"
        homes.add(entry.pw_dir.rstrip("/"))
    except KeyError:
        pass  # a user without an entry, as in containers
    homes.discard("")
    for home in homes:
        words.setdefault(home.rpartition("/")[2], "USER")
    # These name nobody.
    ordinary = ("", "root", "nobody", "localhost")
    chosen = sorted((word for word in words if word not in ordinary), key=len, reverse=True)

    def clean(text: str) -> str:
        for home in sorted(homes, key=len, reverse=True):
            text = re.sub(rf"(?<![\w.-]){re.escape(home)}(?=/|$|[^\w.-])", "~", text)
        text = re.sub(r"/home/[^/\s:;,'\"]+", "/home/USER", text)
        for word in chosen:
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])", words[word], text)
        return text

    return clean


def _summary(facts: HostFacts, clean: Clean) -> Iterator[str]:
    yield "<table>"
    for group, text in summaries_of(facts).items():
        yield f"<tr><th>{group}<td>{escape(clean(text))}"
    yield "</table>"


def _finding(found: Finding, clean: Clean) -> str:
    fix = "".join(f"<pre>{escape(clean(step))}</pre>" for step in found.fix)
    return (
        f"<div class='finding {found.severity}'><b>{found.severity} {found.kind.code}: "
        f"{escape(found.kind.title)}</b><p>{escape(clean(found.seen))}<p>{escape(found.kind.meaning)}{fix}"
        f"<p class=quiet>{escape(found.docs)}</div>"
    )


def _legend(bundle: Bundle) -> Iterator[str]:
    totals: dict[str, int] = {}
    for _path, part, size in bundle.sizes:
        totals[part] = totals.get(part, 0) + size
    yield "<div class=legend>"
    for part, size in sorted(totals.items(), key=lambda item: -item[1]):
        yield f"<span><i style='background:{_colour(part)}'></i>{escape(part)} {_size(size)}</span>"
    yield "</div>"


def _largest(bundle: Bundle, clean: Clean) -> Iterator[str]:
    yield f"<details><summary>The {min(_SHOWN, len(bundle.sizes))} largest files</summary><table>"
    for path, part, size in sorted(bundle.sizes, key=lambda entry: -entry[2])[:_SHOWN]:
        yield f"<tr><td class=number>{_size(size)}<td><code>{escape(clean(path))}</code><td>{escape(part)}"
    yield "</table></details>"


def _needs(bundle: Bundle, clean: Clean) -> Iterator[str]:
    needs: dict[str, list[str]] = {}
    for source, target in bundle.edges:
        needs.setdefault(source, []).append(target)
    yield "<details><summary>All of them</summary><table>"
    for source, targets in sorted(needs.items()):
        listed = " ".join(f"<code>{escape(clean(target))}</code>" for target in sorted(targets))
        yield f"<tr><td><code>{escape(clean(source))}</code><td>{listed}"
    yield "</table></details>"


def _size(size: int) -> str:
    return next(
        (f"{size / unit:.1f} {name}" for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")) if size >= unit),
        f"{size} B",
    )


def _colour(part: str) -> str:
    return _COLOURS.get(part, _OTHER_COLOUR)


def treemap(sizes: Sequence[tuple[str, str, int]], clean: Clean = str, width: int = 1000, height: int = 420) -> str:
    """An SVG in which every file's area is its size. `sizes`: path, part, bytes."""
    files = sorted((entry for entry in sizes if entry[2] > 0), key=lambda entry: -entry[2])
    shapes = []
    for (path, part, size), place in zip(files, squarify([entry[2] for entry in files], width, height), strict=True):
        shapes.append(
            f"<rect x='{place.x:.1f}' y='{place.y:.1f}' width='{place.width:.1f}' height='{place.height:.1f}' "
            f"fill='{_colour(part)}'><title>{escape(f'{clean(path)}, {_size(size)}')}</title></rect>"
        )
        shapes += _label(_short(clean(path)), size, place)
    return (
        f"<div class=drawing><svg class='map' viewBox='0 0 {width} {height}' role='img' aria-label='sizes of files'>"
        f"{''.join(shapes)}</svg></div>"
    )


def _label(name: str, size: int, place: Rectangle) -> Iterator[str]:
    """The file's name in its rectangle: upright where it is high and narrow, cut short, or left out."""
    upright = place.height > 2 * place.width
    along, across = (place.height, place.width) if upright else (place.width, place.height)
    room = int((along - 8) / _CHARACTER)
    if room < 4 or across < 16:
        return
    lines = [_cut(name, room), *([_size(size)] if across > 32 and room > 8 else [])]
    for index, line in enumerate(lines):
        down = 14 + 15 * index
        where = (
            f"transform='translate({place.x + place.width - down:.1f} {place.y + 4:.1f}) rotate(90)'"
            if upright
            else f"x='{place.x + 4:.1f}' y='{place.y + down:.1f}'"
        )
        yield f"<text {where}>{escape(line)}</text>"


def _short(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder.rpartition('/')[2]}/{name}" if name in _COMMON else name


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def squarify(sizes: Sequence[float], width: float, height: float) -> list[Rectangle]:
    """Rectangles of these areas' proportions that fill a rectangle, as square as can be; sizes in falling order.

    Bruls, Huizing and van Wijk, "Squarified Treemaps" (2000).
    """
    total = sum(sizes)
    if not total:
        return []
    areas = [size * width * height / total for size in sizes]
    x = y = 0.0
    placed: list[Rectangle] = []
    row: list[float] = []
    for area in [*areas, None]:
        side = min(width, height)
        if area is not None and (not row or _worst([*row, area], side) <= _worst(row, side)):
            row.append(area)
            continue
        thickness = sum(row) / side if side else 0.0
        along = 0.0
        for each in row:
            length = each / thickness if thickness else 0.0
            if width >= height:
                placed.append(Rectangle(x, y + along, thickness, length))
            else:
                placed.append(Rectangle(x + along, y, length, thickness))
            along += length
        if width >= height:
            x, width = x + thickness, width - thickness
        else:
            y, height = y + thickness, height - thickness
        row = [] if area is None else [area]
    return placed


def _worst(row: Sequence[float], side: float) -> float:
    """The least square of a row's aspect ratios."""
    total = sum(row)
    return max(max(side * side * area / total**2, total**2 / (side * side * area)) for area in row)


def graph(bundle: Bundle, clean: Clean = str) -> str:
    """An SVG of which file needs which: from above (needed by none) downwards. Dashed: not in the bundle."""
    edges = direct([edge for edge in bundle.edges if not edge[0].startswith(f"{PYTHON_LIB}/python")])
    present = {path: part for path, part, _size in bundle.sizes}
    width, column, row, box, line = 1000, 196, 74, 184, 30
    places: dict[str, tuple[float, float]] = {}
    y = 20.0
    for names in _layers(edges):
        # A long layer takes several lines, each centred.
        for start in range(0, len(names), _ACROSS):
            shown = names[start : start + _ACROSS]
            left = (width - column * len(shown) + column - box) / 2
            places |= {name: (left + index * column, y) for index, name in enumerate(shown)}
            y += line
        y += row - line
    lines, boxes = [], []
    for source, target in edges:
        (x1, y1), (x2, y2) = places[source], places[target]
        top, bottom = y1 + 11, y2 - 11
        middle = (top + bottom) / 2
        x1, x2 = x1 + box / 2, x2 + box / 2
        lines.append(f"<path d='M{x1} {top}C{x1} {middle} {x2} {middle} {x2} {bottom}'/>")
    for name, (x, y_of) in places.items():
        look = f"style='stroke:{_colour(present[name])}'" if name in present else "class='absent'"
        short = _short(clean(name))
        boxes.append(
            f"<rect x='{x}' y='{y_of - 11}' width='{box}' height='22' rx='4' {look}>"
            f"<title>{escape(clean(name))}</title></rect>"
            f"<text x='{x + 6}' y='{y_of + 4}'>{escape(_cut(short, int((box - 12) / _CHARACTER)))}</text>"
        )
    label = "which file needs which"
    return (
        f"<div class=drawing><svg class='graph' viewBox='0 0 {width} {y - row + 30:.0f}' role='img' "
        f"aria-label='{label}'>{''.join(lines + boxes)}</svg></div>"
    )


def direct(edges: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Edges without those that other edges imply: the transitive reduction (of what has no cycles)."""
    targets: dict[str, set[str]] = {}
    for source, target in edges:
        if source != target:
            targets.setdefault(source, set()).add(target)

    def reached(name: str) -> set[str]:
        """What a name needs, directly or not."""
        found: set[str] = set()
        ahead = [name]
        while ahead:
            new = targets.get(ahead.pop(), set()) - found
            found |= new
            ahead += new
        return found

    beyond = {name: reached(name) for name in {name for edge in edges for name in edge}}
    return sorted(
        (source, target)
        for source, wanted in targets.items()
        for target in wanted
        # In a cycle each implies the other: then both stay.
        if not any(target in beyond[other] and other not in beyond[target] for other in wanted - {target})
    )


def _layers(edges: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Names by the longest way to them from a name that nobody needs; a cycle ends where it closes."""
    depths = {name: 0 for edge in edges for name in edge}
    for _ in range(len(depths)):
        changed = False
        for source, target in edges:
            if source != target and depths[target] <= depths[source] < len(depths):
                depths[target] = depths[source] + 1
                changed = True
        if not changed:
            break
    ranks = sorted(set(depths.values()))
    return [sorted(name for name, depth in depths.items() if depth == rank) for rank in ranks]
