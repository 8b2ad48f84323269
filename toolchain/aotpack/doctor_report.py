"""The doctor's answer as one HTML page: findings, the bundle's dependency graph and its sizes. Readable offline."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple

from aotpack_doctor.facts import Bundle, HostFacts
from aotpack_doctor.finding import Finding, worst_first
from aotpack_doctor.render import summaries_of

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
    "licenses": "#9d755d",
}
_OTHER_COLOUR = "#bab0ac"

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222;background:#fff}
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}code,pre{font:13px/1.4 ui-monospace,monospace}
table{border-collapse:collapse}td,th{padding:.15em .8em .15em 0;text-align:left;vertical-align:top}
.finding{border-left:4px solid;padding:.1em 1em;margin:1em 0}.error{border-color:#c62828}.warning{border-color:#ef6c00}
.info{border-color:#0277bd}.ok{border-color:#2e7d32}pre{background:#f4f4f4;padding:.5em;overflow-x:auto;margin:.3em 0}
svg{max-width:100%;height:auto;border:1px solid #ddd}svg text{font:11px ui-monospace,monospace}
@media(prefers-color-scheme:dark){body{background:#161616;color:#ddd}pre{background:#262626}svg{background:#eee}}
"""


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
    clean: Callable[[str], str] = str if with_names else redactor(os.environ, socket.gethostname())
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>aotpack doctor</title><style>{_STYLE}</style><h1>aotpack doctor</h1>",
        *_summary(facts, clean),
        "<h2>Findings</h2>",
        *(_finding(found, clean) for found in worst_first(findings)),
    ]
    if not findings:
        parts.append("<p class='finding ok'>All is well.</p>")
    if facts.bundle is not None and facts.bundle.sizes:
        parts += ["<h2>Sizes</h2>", *_legend(facts.bundle), treemap(facts.bundle.sizes)]
        parts += ["<h2>Dependencies</h2>", graph(facts.bundle)]
    return "\n".join(parts) + "\n"


def redactor(env: Mapping[str, str], host: str) -> Callable[[str], str]:
    """A function that takes the home folder, user and host name out of a text."""
    words = {env.get("USER"): "USER", env.get("LOGNAME"): "USER", host: "HOST", host.partition(".")[0]: "HOST"}
    home = env.get("HOME", "").rstrip("/")
    if home:
        words.setdefault(home.rpartition("/")[2], "USER")

    def clean(text: str) -> str:
        if home:
            text = re.sub(rf"{re.escape(home)}(?=/|$|[^\w.-])", "~", text)
        for word, instead in words.items():
            if word:
                text = re.sub(rf"(?<![\w-]){re.escape(word)}(?![\w-])", instead, text)
        return text

    return clean


def _summary(facts: HostFacts, clean: Callable[[str], str]) -> Iterator[str]:
    yield "<table>"
    for group, text in summaries_of(facts).items():
        yield f"<tr><th>{group}<td>{escape(clean(text))}"
    yield "</table>"


def _finding(found: Finding, clean: Callable[[str], str]) -> str:
    fix = "".join(f"<pre>{escape(clean(step))}</pre>" for step in found.fix)
    return (
        f"<div class='finding {found.severity}' id={found.kind.code.lower()}><b>{found.severity} {found.kind.code}: "
        f"{escape(found.kind.title)}</b><p>{escape(clean(found.seen))}<p>{escape(found.kind.meaning)}{fix}</div>"
    )


def _legend(bundle: Bundle) -> Iterator[str]:
    totals: dict[str, int] = {}
    for _path, part, size in bundle.sizes:
        totals[part] = totals.get(part, 0) + size
    yield "<table>"
    for part, size in sorted(totals.items(), key=lambda item: -item[1]):
        yield f"<tr><td><span style='color:{_colour(part)}'>&#9632;</span> {escape(part)}<td>{size / 1e6:.1f} MB"
    yield "</table>"


def _colour(part: str) -> str:
    return _COLOURS.get(part, _OTHER_COLOUR)


def treemap(sizes: Sequence[tuple[str, str, int]], width: int = 1000, height: int = 420) -> str:
    """An SVG in which every file's area is its size. `sizes`: path, part, bytes."""
    files = sorted((entry for entry in sizes if entry[2] > 0), key=lambda entry: -entry[2])
    shapes = []
    for (path, part, size), place in zip(files, squarify([entry[2] for entry in files], width, height), strict=True):
        label = f"{path}, {size / 1e6:.1f} MB"
        shapes.append(
            f"<rect x='{place.x:.1f}' y='{place.y:.1f}' width='{place.width:.1f}' height='{place.height:.1f}' "
            f"fill='{_colour(part)}' stroke='#fff'><title>{escape(label)}</title></rect>"
        )
        name = path.rpartition("/")[2]
        if place.width > 7 * len(name) and place.height > 16:
            shapes.append(f"<text x='{place.x + 4:.1f}' y='{place.y + 13:.1f}' fill='#fff'>{escape(name)}</text>")
    return f"<svg viewBox='0 0 {width} {height}' role='img' aria-label='sizes of files'>{''.join(shapes)}</svg>"


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


def graph(bundle: Bundle) -> str:
    """An SVG of which file needs which: from the left (needed by none) to the right. Dashed: not in the bundle."""
    edges = [edge for edge in bundle.edges if not edge[0].startswith("python/lib/python")]
    layers = _layers(edges)
    present = {path: part for path, part, _size in bundle.sizes}
    places: dict[str, tuple[float, float]] = {}
    column, row = 250, 30
    for depth, names in enumerate(layers):
        for index, name in enumerate(names):
            places[name] = (10 + depth * column, 24 + index * row)
    lines, boxes = [], []
    for source, target in edges:
        x1, y1 = places[source]
        x2, y2 = places[target]
        start, middle = x1 + 190, (x1 + 190 + x2) / 2
        lines.append(f"<path d='M{start} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}' fill='none' stroke='#999'/>")
    for name, (x, y) in places.items():
        stroke = f"stroke='{_colour(present[name])}'" if name in present else "stroke='#999' stroke-dasharray='4'"
        short = escape(name.rpartition("/")[2][:28])
        boxes.append(
            f"<rect x='{x}' y='{y - 11}' width='190' height='22' rx='4' fill='#fff' {stroke}/>"
            f"<text x='{x + 6}' y='{y + 4}'>{short}<title>{escape(name)}</title></text>"
        )
    width = 20 + column * max(len(layers), 1)
    height = 20 + row * max((len(names) for names in layers), default=1)
    label = "which file needs which"
    return f"<svg viewBox='0 0 {width} {height}' role='img' aria-label='{label}'>{''.join(lines + boxes)}</svg>"


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
