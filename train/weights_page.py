"""Writes the page about the weights: one table of all cards, then each card in full."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from models.cards import WEIGHTS_FOLDER, Card, read_card

PAGE = "README.md"
_INTRODUCTION = """\
# Weights

Each network has a blob, `<name>.safetensors` (half precision or 8 bit, no code in it), and a card,
`<name>.json`. The node loads a blob only if it is the one that its card describes.
`python -m train evaluate --export` writes blob, card and this page; `python -m train cards --write`
renews the page after a card was edited.
"""

_COMPARISON = """\
## Beside the papers

The papers report real patients; ours are simulated ones that training never saw (95 % bootstrap
intervals over patients). The columns say that a network learns what it is shown, not
that it would do as well on real patients. Rows named semi real are of real ECGs and real films,
paired at random, with a label drawn from what was measured of both (`python -m train semi-real`).
Aortic stenosis is read from frames with the valve open where R peaks tell which these are; rows
named any phase are of frames of any moment, as in stills.
The Grad-CAM++ of stenosis and of septal flash is held to valve and septum in training, where the
simulation says where these are: that it lies there tells where an answer is taken from, not that
the answer is right.
"""
_SEMI_REAL = "semi_real_auroc"


def read_cards(folder: Path = WEIGHTS_FOLDER) -> list[Card]:
    """Read every card of a folder, by name.

    Raises
    ------
    BadWeightsError
        One of them is not valid.
    """
    return [read_card(path.stem, folder) for path in sorted(folder.glob("*.json"))]


def weights_page(cards: Sequence[Card]) -> str:
    """Write the page as Markdown."""
    overview = _table(
        ("finding", "weights", "network", "parameters", "GMACs", "blob", "trained on"),
        (
            (
                card.finding,
                f"[{card.name} {card.version}](#{card.name})",
                card.network,
                f"{card.parameters:,}",
                f"{card.macs / 1e9:.3g}" if card.macs else "",
                card.encoding,
                card.training_data,
            )
            for card in cards
        ),
    )
    compared = _table(
        (
            "finding",
            "measured",
            "paper, on its data",
            "ours, held out",
            "best possible",
        ),
        # Networks that answer together carry the same figures.
        dict.fromkeys(row for card in cards for row in _compared(card)),
    )
    sections = (_section(card) for card in cards)
    return "\n".join([_INTRODUCTION, overview, _COMPARISON, compared, *sections])


def write_page(folder: Path = WEIGHTS_FOLDER) -> Path:
    """Write the page beside the cards and return its path."""
    path = folder / PAGE
    path.write_text(weights_page(read_cards(folder)), encoding="utf-8")
    return path


def _compared(card: Card) -> Iterator[tuple[str, ...]]:
    """One row for each figure that the paper has and that was measured, too."""
    for name, theirs in card.paper.items():
        ours = card.metrics.get(name)
        if name == "source" or ours is None:
            continue
        best = card.metrics.get(f"best_possible_{name}")
        yield _subject(card), _words(name), str(theirs), _estimate(ours), _estimate(best)
    for name, value in card.metrics.items():
        if isinstance(value, Mapping) and "p" in value:
            said = f"{_estimate(value)}, p = {value['p']:.2g}"
            yield _subject(card), _words(name), "", said, ""
        elif isinstance(value, Mapping) and name.startswith(_SEMI_REAL):
            modality = name.removeprefix(_SEMI_REAL).split("_")[1]
            alone = f"_{modality}_alone" if modality in ("ecg", "xray") else ""
            best = card.metrics.get(f"semi_real_best_possible_auroc{alone}")
            yield _subject(card), _words(name), "", _estimate(value), _estimate(best)


def _subject(card: Card) -> str:
    """The finding, with the network where it is not clear which one of several is meant."""
    finding = card.finding
    return f"{finding} ({card.name})" if finding == "valve_calcification" else finding


def _estimate(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{value['value']:.4g} ({value['low']:.4g} to {value['high']:.4g})"
    return "" if value is None else str(value)


def _section(card: Card) -> str:
    facts = (
        ("statement in every result", card.statement),
        ("intended use", card.intended_use),
        ("paper", str(card.paper.get("source", ""))),
        ("training data", card.training_data),
        ("licence", card.licence),
        ("input", _pairs(card.input)),
        ("normalisation", _pairs(card.normalisation)),
        ("calibration", _pairs(card.calibration)),
        ("SHA-256 of the blob", f"`{card.sha256}`"),
    )
    parts = [
        f"## {card.name}\n",
        _table(("", ""), ((name, text) for name, text in facts if text)),
        _table(("measured", "value", "95 % interval"), _metric_rows(card.metrics)),
        _table(("threshold", "value", "how it was chosen"), _threshold_rows(card.thresholds)),
    ]
    return "\n".join(parts)


def _metric_rows(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for name, value in metrics.items():
        if isinstance(value, Mapping) and "low" in value:
            interval = f"{value['low']:.4g} to {value['high']:.4g}"
            yield _words(name), f"{value['value']:.4g}", interval
        elif isinstance(value, Mapping):
            yield _words(name), _pairs(value), ""
        elif not isinstance(value, list):
            yield _words(name), str(value), ""
    if "clip_confusion" in metrics:
        yield from _confusion_rows(metrics)


def _confusion_rows(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """One row for each true view with what its clips were called."""
    views: list[str] = metrics["views"]
    for view, counts in zip(views, metrics["clip_confusion"], strict=True):
        called = ", ".join(f"{n} {name}" for n, name in zip(counts, views, strict=True) if n)
        yield f"clips of {view} were called", called, ""


def _threshold_rows(thresholds: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for name, threshold in thresholds.items():
        yield _words(name), f"{threshold['value']:.4g}", str(threshold["policy"])


def _words(name: str) -> str:
    return name.replace("_", " ")


def _pairs(values: Mapping[str, Any]) -> str:
    shown = (
        f"{_words(name)} {', '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in values.items()
    )
    return "; ".join(shown)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    # A bar would begin a new column.
    written = [" | ".join(cell.replace("|", "\\|") for cell in line) for line in lines]
    return "".join(f"| {line} |\n" for line in written)
