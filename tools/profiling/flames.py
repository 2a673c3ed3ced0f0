"""Flame graphs (https://www.brendangregg.com/flamegraphs.html): stacks as boxes, as wide as they were seen often."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from html import escape

from tools.profiling.layers import BATCHING, BUS, DOMAIN, MONGO, POSTGRES, PROTOBUF, REDIS, RPC, TELEMETRY, VALIDATION, layer_of_frame

WIDTH, ROW, LETTER = 1800, 17, 6.6
"""Pixels: of the whole picture, of a box's height, and of a letter's width."""
NARROWEST = 0.2
"""Boxes of fewer pixels are left out."""
HEAD = 2 * ROW
"""Above the boxes: the title and the layers' colours."""
NEUTRAL = "#e4e2dc"
"""Of frames that serve many layers."""
COLOURS: Mapping[str, str] = {
    RPC: "#7fb2e5",
    PROTOBUF: "#b79be0",
    VALIDATION: "#e58fb1",
    TELEMETRY: "#9fd0c4",
    DOMAIN: "#f2c14e",
    POSTGRES: "#5f9e6e",
    MONGO: "#a3c45f",
    REDIS: "#e07a5f",
    BUS: "#8ea7b8",
    BATCHING: "#c9a27c",
}


@dataclass
class Node:
    """A frame below the same callers, and how often it was seen."""

    count: int = 0
    callees: dict[str, Node] = field(default_factory=dict)


def tree_of(stacks: Iterable[tuple[tuple[str, ...], int]]) -> Node:
    """Puts stacks with the same beginning together."""
    root = Node()
    for stack, count in stacks:
        node = root
        node.count += count
        for frame in stack:
            node = node.callees.setdefault(frame, Node())
            node.count += count
    return root


def flame_graph(title: str, stacks: Iterable[tuple[tuple[str, ...], int]]) -> str:
    """Draws an SVG, the outermost frame on top; a frame has the colour of its layer, and says all about itself under the pointer."""
    root = tree_of(stacks)
    boxes = list(_boxes(root))
    height = HEAD + ROW * (1 + max((depth for _, _, depth, _ in boxes), default=0))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="monospace" font-size="11">',
            f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
            f'<text x="4" y="{ROW - 4}">{escape(title)}</text>',
            *_legend(),
            *(_drawn(*box, root.count) for box in boxes),
            "</svg>\n",
        ]
    )


Box = tuple[str, float, int, Node]
"""The frame, where it begins (in samples), how many frames are outside it, and its node."""


def _boxes(node: Node, start: float = 0, depth: int = 0) -> Iterator[Box]:
    for frame, callee in sorted(node.callees.items()):
        yield frame, start, depth, callee
        yield from _boxes(callee, start, depth + 1)
        start += callee.count


def _drawn(frame: str, start: float, depth: int, node: Node, whole: int) -> str:
    x, width, y = WIDTH * start / whole, WIDTH * node.count / whole, HEAD + ROW * depth
    if width < NARROWEST:
        return ""
    colour = COLOURS.get(layer_of_frame(frame) or "", NEUTRAL)
    about = f"{frame}: {node.count} samples, {100 * node.count / whole:.1f} %"
    text = escape(frame[: max(0, int((width - 4) / LETTER))])
    return (
        f'<g><title>{escape(about)}</title><rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW - 1}" fill="{colour}"/>'
        f'<text x="{x + 2:.1f}" y="{y + ROW - 5}">{text}</text></g>'
    )


def _legend() -> Iterator[str]:
    x = 4.0
    for layer, colour in COLOURS.items():
        yield f'<rect x="{x:.0f}" y="{ROW + 2}" width="11" height="11" fill="{colour}"/>'
        yield f'<text x="{x + 14:.0f}" y="{ROW + 12}">{layer}</text>'
        x += 28 + LETTER * len(layer)
