"""The Jetson boards, as a table: what fits on one can be asked without having it at hand."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UserError, near

GIB = 2**30
MIB = 2**20

SYSTEM = 700 * MIB
"""What a system without desktop uses when nothing runs. Owners' idle figures on an Orin Nano lie between 620 and 930
MB; we measured none. A desktop takes some 800 MB more, and the CUDA context of a process another few hundred."""


@dataclass(frozen=True, kw_only=True)
class Board:
    """One module, by its data sheet.

    memory: bytes of the DRAM that CPU and GPU share, nominal (8 GB are 8 GiB there). reserved: bytes of it that no
    program gets: what firmware and kernel keep, and `SYSTEM`. The first is the nominal size less the total that
    tegrastats showed on boards of others (7620 MB of the Orin Nano 8 GB, 15656 of the NX 16 GB, 30536 and 62841 of the
    AGX Orins, 125772 of Thor); for the other boards it is assumed after these. It moves by up to 200 MB between
    releases: on the board itself MemAvailable is the truth, and `tsuite doctor` tells it. bandwidth: GB/s of the memory
    by the data sheet; for the Orin Nanos with the Super clocks of JetPack 6.2 (before it 68 and 34). capability: CUDA's
    compute capability. jetpacks: the releases known here that run on it, as major.minor.
    """

    name: str
    label: str
    memory: int
    reserved: int
    bandwidth: float
    capability: str
    jetpacks: tuple[str, ...]

    @property
    def usable(self) -> int:
        """Bytes that programs can share."""
        return self.memory - self.reserved


XAVIER = ("5.0", "5.1")
ORIN = ("5.0", "5.1", "6.0", "6.1", "6.2", "7.2")
LATER_ORIN = ORIN[1:]  # the Nano and the NX came with 5.1
THOR = ("7.0", "7.1", "7.2")


_ROWS: tuple[tuple[str, str, int, int, float, str, tuple[str, ...]], ...] = (
    # name, label, GiB, MiB that firmware and kernel keep, GB/s, compute capability, JetPacks
    ("orin-nano-4gb", "Jetson Orin Nano 4 GB", 4, 620, 51.2, "8.7", LATER_ORIN),
    ("orin-nano-8gb", "Jetson Orin Nano 8 GB", 8, 572, 102.4, "8.7", LATER_ORIN),
    ("orin-nx-8gb", "Jetson Orin NX 8 GB", 8, 620, 102.4, "8.7", LATER_ORIN),
    ("orin-nx-16gb", "Jetson Orin NX 16 GB", 16, 728, 102.4, "8.7", LATER_ORIN),
    ("agx-orin-32gb", "Jetson AGX Orin 32 GB", 32, 2232, 204.8, "8.7", ORIN),
    ("agx-orin-64gb", "Jetson AGX Orin 64 GB", 64, 2695, 204.8, "8.7", ORIN),
    ("thor", "Jetson AGX Thor 128 GB", 128, 5300, 273.0, "11.0", THOR),
    ("xavier-nx-8gb", "Jetson Xavier NX 8 GB", 8, 1000, 59.7, "7.2", XAVIER),
    ("xavier-nx-16gb", "Jetson Xavier NX 16 GB", 16, 1200, 59.7, "7.2", XAVIER),
    ("agx-xavier-32gb", "Jetson AGX Xavier 32 GB", 32, 1600, 136.5, "7.2", XAVIER),
    ("agx-xavier-64gb", "Jetson AGX Xavier 64 GB", 64, 2700, 136.5, "7.2", XAVIER),
)

BOARDS: dict[str, Board] = {
    name: Board(
        name=name,
        label=label,
        memory=gib * GIB,
        reserved=kept * MIB + SYSTEM,
        bandwidth=bandwidth,
        capability=capability,
        jetpacks=packs,
    )
    for name, label, gib, kept, bandwidth, capability, packs in _ROWS
}
"""The boards by name."""


def board(name: str) -> Board:
    """The board called `name`, in any case and with or without `gb`, `jetson-` or separators.

    UserError for an unknown name: the near ones first, then all there are.
    """
    asked = _plain(name)
    for known in BOARDS.values():
        if asked == _plain(known.name):
            return known
    every = ", ".join(BOARDS)
    close = near(name, BOARDS)
    hint = f"{close} The boards are: {every}." if close.startswith("Did") else f"The boards are: {every}."
    raise UserError(f"There is no board {name!r}.", hint)


def _plain(name: str) -> str:
    plain = "".join(letter for letter in name.lower() if letter.isalnum())
    return plain.removeprefix("nvidia").removeprefix("jetson").removesuffix("gb")
