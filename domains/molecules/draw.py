"""Molecules drawn in a grid, each with its name and its properties below: .png (Cairo) and .svg.

Lengths are in points of a picture that a .png shows at twice the size, so that its lines are smooth.
"""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from ...core.errors import UserError
from .chem import Chem, rdBase
from .properties import CAVEAT, PROPERTIES
from .smiles import parse

INK, QUIET, RULE, MARK = "#1c2733", "#6b7783", "#dfe5ea", (0.55, 0.85, 0.72)
CELL, DRAWN, EDGE = 230, 168, 22
"""Width of a cell, height of the drawing in it, edge of the picture."""
LINE, TITLE, FOOT = 15, 34, 24
LETTER = 6
"""What a letter of a note takes, about."""
SCALE = 2
BOND = 22.0
"""The length of a bond, unless a molecule is too large for that."""
MOST = 200
"""Molecules in a picture."""


@dataclass
class Text:
    """A line of text that begins (or, `middle`, is centred) at x, with its base at y."""

    x: float
    y: float
    words: str
    size: int = 11
    colour: str = QUIET
    bold: bool = False
    middle: bool = True


@dataclass
class Sheet:
    """What a picture holds: texts, rules (x, y, width, height), and molecules in boxes of CELL x DRAWN at (x, y)."""

    width: int
    height: int
    texts: list[Text] = field(default_factory=list)
    rules: list[tuple[float, float, float, float]] = field(default_factory=list)
    molecules: list[tuple[float, float, Any, list[int]]] = field(default_factory=list)


def laid_out(smiles: str, template: Any | None = None) -> Any:
    """The rdkit molecule with coordinates to draw it by, turned to lie flat; where it holds `template` (a molecule with
    coordinates), drawn like that. UserError for what is no molecule."""
    from rdkit.Chem import rdDepictor

    mol = parse(smiles)
    if mol is None:
        raise UserError(f"{smiles!r} cannot be drawn: it is no molecule.")
    with rdBase.BlockLogs():
        if template is not None and mol.HasSubstructMatch(template):
            rdDepictor.GenerateDepictionMatching2DStructure(mol, template)
        else:
            rdDepictor.Compute2DCoords(mol)
            rdDepictor.StraightenDepiction(mol)
    return mol


def grid(
    molecules: Sequence[Any], path: str | Path, *, columns: int = 0, title: str = "", note: str = CAVEAT,
    highlight: str = "", names: Sequence[str] | None = None,
) -> Path:  # fmt: skip
    """Draw molecules (with `id`, `smiles`, `properties`) into a .png or .svg, in their order, at most `MOST` of them.

    columns: 0: what looks best; highlight: a SMILES or SMARTS that is marked and drawn alike in all that hold it;
    names: the properties shown, None: all. UserError for another ending, for none to draw, and for a highlight that
    cannot be read. What is no molecule has a cell that says so."""
    path = Path(path)
    if path.suffix.lower() not in (".png", ".svg"):
        raise UserError(f"A picture cannot be written to {path.name}.", "Let the name end in .png or .svg.")
    if not molecules:
        raise UserError("There are no molecules to draw.")
    shown = list(molecules)[:MOST]
    if len(molecules) > MOST:
        note = f"The first {MOST} of {len(molecules):,}. {note}"
    sheet = _compose(shown, columns or _columns(len(shown)), title=title, note=note, names=names,
                     template=_template(highlight))  # fmt: skip
    content = _svg(sheet).encode() if path.suffix.lower() == ".svg" else _png(sheet)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}.") from error
    return path


def _columns(count: int) -> int:
    return count if count <= 5 else min(6, max(4, math.ceil(math.sqrt(count))))


def _template(highlight: str) -> Any | None:
    """What is marked, with coordinates; None: nothing."""
    if not highlight:
        return None
    from rdkit.Chem import rdDepictor

    with rdBase.BlockLogs():
        found = Chem.MolFromSmarts(highlight) if parse(highlight) is None else parse(highlight)
        if found is None:
            raise UserError(f"{highlight!r} is neither SMILES nor SMARTS, so it cannot be marked.")
        # Attachment points stand for any neighbour.
        found = Chem.AdjustQueryProperties(found, _any_dummies())
        rdDepictor.Compute2DCoords(found)
    return found


def _any_dummies() -> Any:
    options = Chem.AdjustQueryParameters.NoAdjustments()
    options.makeDummiesQueries = True
    return options


# -- what stands where ------------------------------------------------------------------------------------------------


def _compose(
    molecules: Sequence[Any], columns: int, *, title: str, note: str, names: Sequence[str] | None, template: Any | None
) -> Sheet:
    lines = [_lines(item, names) for item in molecules]
    columns = min(columns, len(molecules))
    under = LINE * (max(map(len, lines)) + 1) + 12
    tall = DRAWN + under
    rows = math.ceil(len(molecules) / columns)
    top = EDGE + TITLE * bool(title)
    notes = textwrap.wrap(note, columns * CELL // LETTER)  # nothing of it may be lost
    foot = FOOT + LINE * (len(notes) - 1) if notes else 0
    sheet = Sheet(columns * CELL + 2 * EDGE, top + rows * tall + foot + EDGE // 2)
    if title:
        sheet.texts.append(Text(EDGE, EDGE + 12, title, 17, INK, bold=True, middle=False))
    for number, item in enumerate(molecules):
        x, y = EDGE + number % columns * CELL, top + number // columns * tall
        mol = _drawable(item.smiles, template)
        if mol is None:
            sheet.texts.append(Text(x + CELL / 2, y + DRAWN / 2, "no molecule"))
        else:
            marked = list(mol.GetSubstructMatch(template)) if template is not None else []
            sheet.molecules.append((x, y, mol, marked))
        sheet.texts.append(Text(x + CELL / 2, y + DRAWN + LINE, item.id, 12, INK, bold=True))
        for n, words in enumerate(lines[number], start=2):
            sheet.texts.append(Text(x + CELL / 2, y + DRAWN + n * LINE, words))
        if number % columns == 0 and number:
            sheet.rules.append((EDGE, y - 1, columns * CELL, 1))
    for number, words in enumerate(reversed(notes)):
        sheet.texts.append(Text(EDGE, sheet.height - EDGE / 2 - 4 - number * LINE, words, 10, middle=False))
    return sheet


def _drawable(smiles: str, template: Any | None) -> Any | None:
    try:
        return laid_out(smiles, template)
    except UserError:
        return None


def _lines(item: Any, names: Sequence[str] | None) -> list[str]:
    """The properties of a molecule, two to a line."""
    wanted = [name for name in (item.properties if names is None else names) if name in item.properties]
    told = [
        PROPERTIES[name].text(item.properties[name]) if name in PROPERTIES else f"{name} {item.properties[name]:.4g}"
        for name in wanted
    ]
    return ["   ".join(told[n : n + 2]) for n in range(0, len(told), 2)]


# -- drawing ----------------------------------------------------------------------------------------------------------


def _draw(canvas: Any, mol: Any, marked: list[int], scale: float) -> str | bytes:
    """The molecule on a canvas of rdkit's, its text or bytes."""
    from rdkit.Chem.Draw import rdMolDraw2D

    options = canvas.drawOptions()
    options.clearBackground = False
    options.fixedBondLength = BOND * scale
    options.bondLineWidth = 1.4 * scale
    options.scaleBondWidth = False
    options.minFontSize, options.maxFontSize = int(7 * scale), int(14 * scale)
    options.padding = 0.06
    options.setHighlightColour(MARK)
    options.highlightBondWidthMultiplier = 9
    inside = set(marked)
    bonds = [
        bond.GetIdx() for bond in mol.GetBonds() if bond.GetBeginAtomIdx() in inside and bond.GetEndAtomIdx() in inside
    ]
    with rdBase.BlockLogs():
        ready = rdMolDraw2D.PrepareMolForDrawing(mol)
        canvas.DrawMolecule(ready, highlightAtoms=marked, highlightBonds=bonds)
    canvas.FinishDrawing()
    return canvas.GetDrawingText()


def _svg(sheet: Sheet) -> str:
    from rdkit.Chem.Draw import rdMolDraw2D

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{sheet.width}" height="{sheet.height}" '
        f'viewBox="0 0 {sheet.width} {sheet.height}" font-family="DejaVu Sans, Verdana, Arial, sans-serif">',
        f'<rect width="{sheet.width}" height="{sheet.height}" fill="#ffffff"/>',
    ]
    parts += [f'<rect x="{x}" y="{y}" width="{w}" height="{h}" fill="{RULE}"/>' for x, y, w, h in sheet.rules]
    for x, y, mol, marked in sheet.molecules:
        text = str(_draw(rdMolDraw2D.MolDraw2DSVG(CELL, DRAWN), mol, marked, 1))
        inner = re.sub(r"^.*?<svg[^>]*>|</svg>\s*$|<!--.*?-->", "", text, flags=re.DOTALL).strip()
        parts.append(f'<g transform="translate({x} {y})">{inner}</g>')
    for text in sheet.texts:
        weight, anchor = "bold" if text.bold else "normal", "middle" if text.middle else "start"
        words = escape(_fitted(text, sheet.width))
        parts.append(
            f'<text x="{text.x:g}" y="{text.y:g}" font-size="{text.size}" fill="{text.colour}" font-weight="{weight}" '
            f'text-anchor="{anchor}" xml:space="preserve">{words}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


def _png(sheet: Sheet) -> bytes:
    from PIL import Image, ImageDraw
    from rdkit.Chem.Draw import rdMolDraw2D

    image = Image.new("RGB", (sheet.width * SCALE, sheet.height * SCALE), "#ffffff")
    pen = ImageDraw.Draw(image)
    for x, y, w, h in sheet.rules:
        pen.rectangle([x * SCALE, y * SCALE, (x + w) * SCALE - 1, (y + h) * SCALE - 1], fill=RULE)
    for x, y, mol, marked in sheet.molecules:
        canvas = rdMolDraw2D.MolDraw2DCairo(CELL * SCALE, DRAWN * SCALE)
        cell = Image.open(io.BytesIO(bytes(_draw(canvas, mol, marked, SCALE)))).convert("RGBA")  # type: ignore[arg-type]
        image.paste(cell, (int(x * SCALE), int(y * SCALE)), cell)
    for text in sheet.texts:
        anchor = "ms" if text.middle else "ls"
        place = (text.x * SCALE, text.y * SCALE)
        pen.text(place, _fitted(text, sheet.width), text.colour, _font(text, SCALE), anchor=anchor)
    saved = io.BytesIO()
    image.save(saved, "PNG", optimize=True)
    return saved.getvalue()


def _font(text: Text, scale: int) -> Any:
    """DejaVu, which comes with matplotlib."""
    import matplotlib as mpl
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if text.bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / name), text.size * scale)


def _fitted(text: Text, width: int) -> str:
    """The words on one line, cut where they would leave their cell."""
    font = _font(text, 1)
    words, room = " ".join(text.words.splitlines()), (CELL - 12 if text.middle else width - text.x - EDGE)
    if font.getlength(words) <= room:
        return words
    while words and font.getlength(f"{words}…") > room:
        words = words[:-1]
    return f"{words}…"
