"""What a person gives to look at: SMILES, or files of molecules; what cannot be used says why, and the rest goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....core.errors import UserError
from ....core.options import flag
from ....core.task import Example
from ..data import Molecules
from ..files import ENDINGS, Entry, Rejected, read_file
from ..molecule import Molecule
from ..smiles import FRAGMENTS, ISOTOPES, Cleaned, clean_block, clean_smiles
from .options import RunOptions

LETTERS = 80
"""Of what was given, at most so many are repeated."""


@dataclass(frozen=True, kw_only=True)
class Given(Molecule):
    """A molecule as it was given: `smiles` of what is kept of it, of which `taken` was removed; or none, for
    `reason`."""

    taken: tuple[str, ...] = ()
    reason: str = ""


def read_inputs(inputs: Sequence[Any], numbers: Sequence[str] = ()) -> list[Any]:
    """SMILES, and paths of files with many, as `Given`; examples pass as they are. numbers: columns that are read as
    such where a file has them, whatever else stands in them."""
    examples: list[Any] = []
    for one in inputs:
        if isinstance(one, Example):
            examples.append(one)
        elif not isinstance(one, (str, Path)):
            raise UserError(f"{one!r} is no molecule.", "Give SMILES, or paths of files with them.")
        elif _is_folder(one):
            inside = sorted(path for path in Path(one).expanduser().iterdir() if _is_listed(path))
            if not inside:
                reason = f"it is a folder without a file of molecules ({', '.join(ENDINGS)})"
                examples.append(Given(id=str(one), smiles="", reason=reason))
            for path in inside:
                examples += _file(path, numbers)
        elif _is_file(one):
            examples += _file(Path(one).expanduser(), numbers)
        else:
            examples.append(from_smiles(str(one)))
    return examples


def from_smiles(smiles: str) -> Given:
    """A SMILES as it was given."""
    made = clean_smiles(smiles)
    return Given(id=shortened(smiles) or "''", smiles=made.smiles, given=smiles, taken=made.taken, reason=made.reason)


def cleaned(molecule: Molecule) -> Cleaned:
    """The molecule as the model reads it, or the reason why it cannot."""
    if isinstance(molecule, Given):
        return Cleaned(molecule.smiles, "", molecule.taken, molecule.reason)
    return clean_smiles(molecule.smiles)


def shortened(text: str) -> str:
    """A text that may be very long, as a sentence can hold it."""
    return text if len(text) <= LETTERS else f"{text[:LETTERS]}…"


def notices(made: Cleaned) -> tuple[str, ...]:
    """What was taken off a molecule before it was looked at, in sentences."""
    told = []
    if FRAGMENTS in made.taken:
        told.append(f"of several fragments, of which the largest is meant, uncharged: {shortened(made.smiles)}")
    if ISOTOPES in made.taken:
        told.append("its isotope labels were removed")
    return tuple(told)


def _is_folder(one: str | Path) -> bool:
    try:
        return str(one) != "" and Path(one).expanduser().is_dir()
    except OSError:  # too long for a name
        return False


def _is_listed(path: Path) -> bool:
    return path.is_file() and path.name.lower().removesuffix(".gz").endswith(tuple(ENDINGS))


def _is_file(one: str | Path) -> bool:
    """Whether a file is meant, even one that is not there: no SMILES ends like one."""
    text = str(one).lower().removesuffix(".gz")
    try:
        return text != "" and (
            Path(one).expanduser().exists() or isinstance(one, Path) or text.endswith(tuple(ENDINGS))
        )
    except OSError:  # too long for a name
        return False


def _file(path: Path, numbers: Sequence[str]) -> list[Given]:
    found: list[Given] = []
    try:
        for entry in _entries(path, numbers):
            name = f"{entry.where} {entry.name}".strip()
            made = _clean(entry)
            found.append(
                Given(
                    id=name, smiles=made.smiles, given="" if entry.block else entry.text,
                    properties=dict(entry.values), taken=made.taken, reason=made.reason,
                )
            )  # fmt: skip
    except UserError as error:  # the other files are as good as before
        hint = f" ({error.hint[0].lower()}{error.hint[1:].rstrip('.')})" if error.hint else ""
        reason = error.what.rstrip(".")
        if reason.startswith(f"{path} "):  # the name stands before it already
            reason = f"it {reason.removeprefix(f'{path} ')}"
        found.append(Given(id=path.name, smiles="", reason=f"{reason}{hint}"))
    return found


def _entries(path: Path, numbers: Sequence[str]) -> list[Entry]:
    if numbers:
        with suppress(UserError):  # it has no such columns, or what is wrong shows without them too
            return list(read_file(path, numbers=numbers))
    return list(read_file(path))


def _clean(entry: Entry) -> Cleaned:
    if entry.error:
        return Cleaned(reason=entry.error)
    return (clean_block if entry.block else clean_smiles)(entry.text)


def rejected(parts: Molecules, left_out: Iterable[tuple[str, str]] = ()) -> Callable[[Path], list[Path]]:
    """What writes the list of what was left out into the folder of a run; left_out: molecules that could be read and
    not be used, with why."""
    more = [Rejected(file=parts.name, line=0, given=text, reason=reason) for text, reason in left_out]

    def write(folder: Path) -> list[Path]:
        path = parts.save_rejected(folder / "rejected.csv", more)
        return [] if path is None else [path]

    return write


def refuse_drawing(options: RunOptions) -> None:
    """UserError where molecules are given and options for drawing others too."""
    plain = type(options)()
    for name in ("n", "temperature", "top_k", "top_p", "guidance"):
        if getattr(options, name) != getattr(plain, name):
            raise UserError(
                f"{flag(name)} is for drawing molecules; of those that are given it is said how likely they are.",
                f"Leave out the molecules, or {flag(name)}.",
            )


def only_drawing(options: RunOptions) -> None:
    """UserError for what only a predictor understands."""
    if options.spellings != RunOptions().spellings:
        raise UserError(
            "--spellings is for a checkpoint that predicts a property; this one draws molecules.", "Leave it out."
        )
