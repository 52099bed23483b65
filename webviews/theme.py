"""A campaign's two colours, and the shades derived from them, as one small style sheet (inline style is forbidden).

Shades are computed in OKLCH (Björn Ottosson, "A perceptual color space", 2020) by the formulas of the players' look,
and brought into sRGB by lowering the chroma, which keeps lightness and hue.
"""

from __future__ import annotations

from math import atan2, cos, radians, sin, tau

B1, B2 = "#D2401D", "#0D6273"
"""The colours of a campaign that names none."""
WHITE, INK = "#FFFFFF", "#3A1C12"
READABLE = 4.5
"""WCAG 2.2, 1.4.3: contrast of text."""


def theme_css(b1: str | None, b2: str | None) -> str:
    """`:root { --b1: …; … }` from two colours `#rrggbb`, or from the product's own where None."""
    first, on_first = _readable(b1 or B1)
    second, on_second = _readable(b2 or B2)
    names = {
        "b1": first,
        "on-b1": on_first,
        "b1-hi": _shift(first, light=0.095, hue=6),
        "b1-lo": _shift(first, light=-0.13, chroma=0.92, hue=-3),
        "b1-xl": _shift(first, at=0.93, chroma=0.25, hue=14),
        "b2": second,
        "on-b2": on_second,
        "b2-hi": _shift(second, light=0.13, chroma=1.1),
        "b2-lo": _shift(second, light=-0.11),
        "b2-xl": _shift(second, at=0.93, chroma=0.45),
    }
    return ":root{" + "".join(f"--{name}:{colour};" for name, colour in names.items()) + "}\n"


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, 1 to 21 (WCAG 2.2, "contrast ratio")."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _readable(colour: str) -> tuple[str, str]:
    """A colour for a button and one for its text: white or ink, else it is darkened until white can be read."""
    for text in (WHITE, INK):
        if contrast(colour, text) >= READABLE:
            return colour, text
    while contrast(colour, WHITE) < READABLE:
        colour = _shift(colour, light=-0.02)
    return colour, WHITE


def _shift(colour: str, *, light: float = 0.0, at: float | None = None, chroma: float = 1.0, hue: float = 0.0) -> str:
    lightness, saturation, angle = _oklch(colour)
    lightness = min(1.0, max(0.0, lightness + light if at is None else at))
    saturation *= chroma
    angle += radians(hue)
    while True:
        channels = _linear(lightness, saturation, angle)
        if saturation < 0.001 or all(-0.0001 <= channel <= 1.0001 for channel in channels):
            return "#" + "".join(f"{round(255 * _encode(min(1.0, max(0.0, channel)))):02X}" for channel in channels)
        saturation *= 0.97


def _channels(colour: str) -> list[float]:
    values = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    return [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]


def _encode(value: float) -> float:
    return 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055


def _luminance(colour: str) -> float:
    red, green, blue = _channels(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _oklch(colour: str) -> tuple[float, float, float]:
    red, green, blue = _channels(colour)
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    medium = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    lightness = 0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short
    a = 1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short
    b = 0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short
    return lightness, (a * a + b * b) ** 0.5, atan2(b, a) % tau


def _linear(lightness: float, chroma: float, hue: float) -> tuple[float, float, float]:
    a, b = chroma * cos(hue), chroma * sin(hue)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )
