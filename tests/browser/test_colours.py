# SPDX-License-Identifier: Apache-2.0
"""The style sheet's colours: contrast in both themes, and services that stay apart for colour-blind readers."""

import itertools
import re
from pathlib import Path

import pytest

TOKENS = Path(__file__).resolve().parents[2] / "crates/osprofiler-report/src/viewer/tokens.css"
TEXT, GRAPHICS = 4.5, 3.0
# The smallest distance between two services' colours that still tells bars apart, as distance in Oklab times 100.
APART = 7.0

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
BLINDNESS = {
    "none": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def themes() -> dict[str, dict[str, str]]:
    """Read the tokens: the light ones, the dark ones by preference, the dark ones by choice."""
    blocks = re.findall(r"\{([^{}]*)\}", TOKENS.read_text())
    read = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in blocks]
    return dict(zip(["light", "dark", "dark by choice"], read, strict=True))


THEMES = themes()


def linear(colour: str) -> tuple[float, ...]:
    """Light of each primary, 0 to 1."""
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return tuple(part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)


def contrast(one: str, other: str) -> float:
    """Contrast as WCAG 2 defines it."""
    weights = (0.2126, 0.7152, 0.0722)
    light, dark = sorted(
        (sum(w * v for w, v in zip(weights, linear(c), strict=True)) for c in (one, other)), reverse=True
    )
    return (light + 0.05) / (dark + 0.05)


def oklab(light: tuple[float, ...]) -> tuple[float, ...]:
    """Oklab of linear RGB."""
    red, green, blue = (min(1, max(0, part)) for part in light)
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    middle = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
    )


def distance(one: str, other: str, blindness: str) -> float:
    """How far apart two colours look, black to white being 100."""
    seen = []
    for colour in (one, other):
        light = linear(colour)
        seen.append(oklab(tuple(sum(m * v for m, v in zip(row, light, strict=True)) for row in BLINDNESS[blindness])))
    return 100 * sum((a - b) ** 2 for a, b in zip(*seen, strict=True)) ** 0.5


@pytest.mark.parametrize("theme", THEMES)
def test_texts_can_be_read(theme: str):
    tokens = THEMES[theme]
    pairs = [(text, on) for text in ("text", "text-muted", "accent", "error") for on in ("surface", "surface-raised")]
    pairs += [("text", on) for on in ("surface-sunken", "selected", "hover", "error-surface")]
    pairs += [
        ("text-muted", "surface-sunken"),
        ("text-muted", "selected"),
        ("error", "error-surface"),
        ("error", "selected"),
    ]
    pairs += [("notice", "surface"), ("notice", "notice-surface"), ("accent-text", "accent"), ("hit-text", "hit")]
    assert {
        pair: contrast(tokens[pair[0]], tokens[pair[1]])
        for pair in pairs
        if contrast(tokens[pair[0]], tokens[pair[1]]) < TEXT
    } == {}


@pytest.mark.parametrize("theme", THEMES)
def test_bars_stand_out(theme: str):
    tokens = THEMES[theme]
    bars = [name for name in tokens if name.startswith("service-")]
    assert len(bars) == 8
    assert {
        name: contrast(tokens[name], tokens["surface"])
        for name in bars
        if contrast(tokens[name], tokens["surface"]) < GRAPHICS
    } == {}


@pytest.mark.parametrize("blindness", BLINDNESS)
@pytest.mark.parametrize("theme", THEMES)
def test_services_stay_apart(theme: str, blindness: str):
    tokens = THEMES[theme]
    bars = [tokens[f"service-{index}"] for index in range(8)]
    close = {
        (one, other): round(distance(bars[one], bars[other], blindness), 1)
        for one, other in itertools.combinations(range(8), 2)
        if distance(bars[one], bars[other], blindness) < APART
    }
    assert close == {}


def test_dark_is_the_same_by_preference_and_by_choice():
    assert THEMES["dark"] == THEMES["dark by choice"]
