"""Figures as files: CSV, and a picture of them as SVG with nothing but text in it."""

import csv
import math
from html import escape
from pathlib import Path

from common import Refused

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 72, 24, 44, 56
# Told apart also by those who do not see all colours.
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#555555"]
STYLE = "font-family:system-ui,sans-serif;font-size:12px;fill:#222"


def write_csv(path, rows):
    """Rows are alike: dicts with the same names in the same order."""
    try:
        with open(path, "w", newline="") as out:
            writer = csv.DictWriter(out, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise Refused(f"could not write {path}: {error.strerror}") from None


def write_svg(path, title, x, y, series):
    """`x` and `y` are (name, is logarithmic); a series is (name, points). What is not above 0 is left out
    on a logarithmic axis."""
    (x_name, x_log), (y_name, y_log) = x, y
    shown = [
        (name, [(a, b) for a, b in points if (a > 0 or not x_log) and (b > 0 or not y_log)]) for name, points in series
    ]
    points = [point for _, line in shown for point in line]
    if not points:
        raise Refused(f"there is nothing to draw in {path}")
    across = Axis([a for a, _ in points], x_log, LEFT, WIDTH - RIGHT)
    up = Axis([b for _, b in points], y_log, HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" style="{STYLE}">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        text(LEFT, 18, title, "start", "font-weight:600"),
    ]
    for tick in up.ticks():
        at = up.at(tick)
        parts.append(f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(text(LEFT - 8, at + 4, short(tick), "end"))
    for tick in across.ticks():
        at = across.at(tick)
        parts.append(f'<path d="M{at:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#eee"/>')
        parts.append(text(at, HEIGHT - BOTTOM + 18, short(tick), "middle"))
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, x_name, "middle"))
    parts.append(f'<g transform="translate(16 {(TOP + HEIGHT - BOTTOM) / 2:.1f}) rotate(-90)">{text(0, 0, y_name, "middle")}</g>')
    legend = LEFT
    for number, (name, line) in enumerate(shown):
        colour = COLOURS[number % len(COLOURS)]
        path_of = " ".join(f"{'L' if place else 'M'}{across.at(a):.1f} {up.at(b):.1f}" for place, (a, b) in enumerate(line))
        if len(line) > 1:
            parts.append(f'<path d="{path_of}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if len(line) <= 40:
            parts += [f'<circle cx="{across.at(a):.1f}" cy="{up.at(b):.1f}" r="3" fill="{colour}"/>' for a, b in line]
        parts.append(f'<path d="M{legend} 32h16" stroke="{colour}" stroke-width="3"/>')
        parts.append(text(legend + 20, 36, name, "start"))
        legend += 32 + 7 * len(name)
    parts.append("</svg>")
    try:
        Path(path).write_text("\n".join(parts) + "\n")
    except OSError as error:
        raise Refused(f"could not write {path}: {error.strerror}") from None


def text(x, y, words, anchor, more=""):
    style = f' style="{more}"' if more else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{escape(str(words))}</text>'


def short(value):
    """1500 as 1.5k."""
    for unit, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= scale:
            return f"{value / scale:.4g}{unit}"
    return f"{value:.4g}"


class Axis:
    """From values to places. A linear one begins at 0 if that is not far away; a logarithmic one ends at
    powers of ten, or close to its values if they lie in one of them."""

    def __init__(self, values, is_log, begin, end):
        self.is_log, self.begin, self.end = is_log, begin, end
        least, most = min(values), max(values)
        if is_log:
            self.least, self.most = least, max(most, least * 2)
        else:
            least = 0 if least > 0 and least < most / 2 or least == most else least
            self.least, self.most = least, most if most > least else least + 1

    def at(self, value):
        least, most, value = (self.scaled(it) for it in (self.least, self.most, value))
        return self.begin + (value - least) / (most - least) * (self.end - self.begin)

    def scaled(self, value):
        return math.log10(value) if self.is_log else value

    def ticks(self):
        if not self.is_log:
            step = 10 ** math.floor(math.log10((self.most - self.least) / 4))
            step *= next(factor for factor in (1, 2, 5, 10) if (self.most - self.least) / (step * factor) <= 6)
            first = math.ceil(self.least / step)
            return [number * step for number in range(first, math.floor(self.most / step) + 1)]
        powers = range(math.floor(math.log10(self.least)), math.ceil(math.log10(self.most)) + 1)
        for factors in ((1,), (1, 2, 5)):
            found = [f * 10.0**power for power in powers for f in factors if self.least <= f * 10.0**power <= self.most]
            if len(found) >= 3:
                return found
        return found
