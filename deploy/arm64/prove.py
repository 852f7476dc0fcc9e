"""The proof on 64-bit Arm: `tsuite run` for all six domains in an arm64 system, beside the same commands here.

    sudo python deploy/arm64/prove.py                 makes the system, installs, runs, compares; keeps the system
    sudo python deploy/arm64/prove.py --only text     again, for one domain
    sudo python deploy/arm64/prove.py --clean         removes all that was kept

An arm64 Debian (or Ubuntu, --suite) is bootstrapped into a folder and entered by chroot; where this machine is no Arm,
qemu emulates it. It stands in for a board: a torch is installed first, `deploy/jetson/install.sh` then has to leave it
alone. It has no GPU, and what it proves holds for the processor's instructions only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cases
from compare import TOLERANCE, compare
from root import Root, is_arm, missing

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
EXTRAS = "audio,timeseries,control,molecules"
"""What `run` needs beyond the base in the six domains."""
PYTHONS = {"bookworm": "3.11", "jammy": "3.10", "noble": "3.12"}
"""Suite -> its Python."""
TORCH = "2.10.0"
"""The last whose wheels for aarch64 on PyPI are for the CPU alone."""
VENV = "/opt/tsuite"


def say(text: str) -> None:
    """A line of progress, with the time since the start."""
    sys.stderr.write(f"[{time.monotonic() - START:5.0f} s] {text}\n")


START = time.monotonic()


def main() -> int:
    """Prove what was asked; the exit code: 0 the same, 1 differences, 2 cannot be done here."""
    args = arguments()
    work = args.work.resolve()
    if args.clean:
        Root(folder=work / "root", log=work / "log.txt").remove()
        shutil.rmtree(work, ignore_errors=True)
        say(f"{work} is removed.")
        return 0
    if reason := missing():
        sys.stderr.write(f"{'Skipped' if args.if_possible else 'Not possible'}: {reason}\n")
        return 0 if args.if_possible else 2
    work.mkdir(parents=True, exist_ok=True)
    root = Root(folder=work / "root", log=work / "log.txt")
    try:
        return prove(args, work, root)
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"This failed (exit code {error.returncode}; {root.log} says why): {error.cmd}\n")
    except subprocess.TimeoutExpired as error:
        sys.stderr.write(f"This took longer than {error.timeout:.0f} s and was ended: {error.cmd}\n")
    return 2


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("--work", type=Path, default=Path(tempfile.gettempdir()) / "tsuite-arm64", help="folder that is made and kept")
    add("--suite", choices=sorted(PYTHONS), default="bookworm", help="which system (default: bookworm, Debian 12)")
    add("--mirror", default="", help="where its packages come from (default: debootstrap's choice)")
    add("--torch", default=TORCH, help=f"the torch that stands in for the board's (default: {TORCH})")
    add("--only", nargs="+", choices=sorted(cases.CASES), help="these domains alone (default: all six)")
    add("--timeout", type=float, default=1200, help="most seconds for one command inside (default: 1200)")
    add("--json", type=Path, help="file for the result as JSON (default: WORK/result.json)")
    add("--if-possible", action="store_true", help="end well, with a sentence, where this machine cannot do it")
    add("--clean", action="store_true", help="remove WORK and end")
    return parser.parse_args()


def prove(args: argparse.Namespace, work: Path, root: Root) -> int:
    """The whole story; gives the exit code."""
    say(f"The {args.suite} system in {root.folder} (once, some minutes)")
    root.make(args.suite, args.mirror)
    say("Wheels: of this checkout, and for arm64 from the package index")
    wheels = gather_wheels(work, PYTHONS[args.suite], args.torch)
    places = {"/wheels": wheels, "/deploy": HERE.parent}
    say("Installing, by deploy/jetson/install.sh beside a torch that is there")
    installed = install(root, places, args.torch)
    inputs = work / "inputs"
    cases.make_inputs(inputs)
    cache = Path(os.environ.get("TSUITE_CACHE") or work / "cache").resolve()
    cache.mkdir(parents=True, exist_ok=True)
    places |= {"/inputs": inputs, "/cache": cache}
    found = doctor(root, places)
    rows = [one(root, places, name, args.timeout) for name in args.only or cases.CASES]
    result = {**versions(root, places), "emulated": not is_arm(), "tolerance": TOLERANCE, "installed": installed}
    result |= {"doctor": found, "domains": rows}
    path = args.json or work / "result.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sys.stdout.write(table(result) + f"\nsaved {path}\n")
    return 0 if not found["failed"] and all(row["same"] for row in rows) else 1


# -- what is installed ----------------------------------------------------------------------------------------------


def gather_wheels(work: Path, python: str, torch: str) -> Path:
    """A folder with the wheel of this checkout and all it needs on arm64. pip fetches them, here, where it is fast."""
    wheels, source = work / "wheels", work / "source"
    wheels.mkdir(exist_ok=True)
    for old in (*wheels.glob("tsuite-*.whl"), *source.glob("*")):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    copy_checkout(source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    quietly([*pip, "wheel", "--no-deps", "--wheel-dir", str(wheels), str(source)], work)
    (wheel,) = wheels.glob("tsuite-*.whl")
    asked = [f"tsuite[{EXTRAS}] @ {wheel.as_uri()}", f"torch=={torch}"]
    fetch = [sys.executable, str(HERE / "pip_as.py"), "aarch64", python, "download", "--quiet", "--dest", str(wheels)]
    quietly([*fetch, "--disable-pip-version-check", *asked], work)
    return wheels


def copy_checkout(target: Path) -> None:
    """The files of this checkout that git knows or would know, so that building leaves no traces in it."""
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={PROJECT}", "ls-files", "-zco", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        check=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (PROJECT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, target / name)


def quietly(command: list[str], work: Path) -> None:
    """Run a command of this machine; what it says goes to the log."""
    with (work / "log.txt").open("a", encoding="utf-8") as log:
        subprocess.run(command, stdout=log, stderr=log, check=True)


def install(root: Root, places: dict[str, Path], torch: str) -> dict[str, Any]:
    """Put a torch into the system's Python, then tsuite beside it by the installer; not again if nothing changed."""
    (wheel,) = places["/wheels"].glob("tsuite-*.whl")
    parts = [*sorted(_members(wheel)), (HERE.parent / "jetson/install.sh").read_text(encoding="utf-8"), torch]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    mark = root.folder / "installed.json"
    if mark.is_file() and (found := json.loads(mark.read_text(encoding="utf-8")))["digest"] == digest:
        return {**found, "kept": True}
    board = ["python3", "-m", "pip", "install", "--quiet", "--no-compile", "--no-index"]
    board += ["--find-links", "/wheels"]  # not compiled: emulated, that would take longer than all the rest
    anyway = [] if root_python(root) == "3.10" else ["--break-system-packages"]
    start = time.monotonic()
    root.run([*board, *anyway, f"torch=={torch}", "numpy"], places=places)
    middle = time.monotonic()
    say(f"  torch {torch} is there ({middle - start:.0f} s); install.sh")
    words = ["bash", "/deploy/jetson/install.sh", "--venv", VENV, "--wheels", "/wheels", "--extras", EXTRAS]
    printed = root.run(words, places=places, environment={"PIP_NO_COMPILE": "no"})  # so pip spells "yes" here
    done = {
        "digest": digest,
        "torch_seconds": round(middle - start),
        "installer_seconds": round(time.monotonic() - middle),
        "said": [line for line in printed.splitlines() if line.startswith("install: ")],
    }
    mark.write_text(json.dumps(done), encoding="utf-8")
    return {**done, "kept": False}


def _members(wheel: Path) -> list[str]:
    """Names and checksums of what a wheel holds: two builds of the same files differ in their times alone."""
    import zipfile

    with zipfile.ZipFile(wheel) as archive:
        return [f"{item.filename} {item.CRC}" for item in archive.infolist()]


def root_python(root: Root) -> str:
    """The Python of the system, as "3.11"."""
    names = sorted(path.name for path in (root.folder / "usr/bin").glob("python3.*") if path.name[8:].isdigit())
    return names[0].removeprefix("python")


def doctor(root: Root, places: dict[str, Path]) -> dict[str, Any]:
    """What `tsuite doctor` says inside: how many things it tried, and those that failed."""
    say("tsuite doctor")
    told = {"OMP_NUM_THREADS": "1", "TSUITE_CACHE": "/cache"}
    # A failed check is exit code 1, which is told in the result rather than by an end of it all
    words = ["sh", "-c", '"$@" || [ $? -eq 1 ]', "sh", f"{VENV}/bin/tsuite", "doctor", "--json"]
    found = report(root.run(words, places=places, environment=told))
    checks = found.get("checks", [])
    failed = [f"{check['name']}: {check['detail']}" for check in checks if check["ok"] is False]
    return {"checks": len(checks), "failed": failed or ([found["error"]] if "error" in found else [])}


# -- what is compared -----------------------------------------------------------------------------------------------


def one(root: Root, places: dict[str, Path], name: str, timeout: float) -> dict[str, Any]:
    """One domain, here and there."""
    words = ["run", *cases.CASES[name], "--json"]
    say(f"{name}: tsuite {' '.join(words)}")
    environment = {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    start = time.monotonic()
    told = {**os.environ, **environment, "TSUITE_CACHE": str(places["/cache"])}
    printed = subprocess.run(
        [sys.executable, "-m", "tsuite", *words],
        cwd=places["/inputs"],
        env=told,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=timeout,
        check=False,
    ).stdout
    here, middle = report(printed), time.monotonic()
    inside = ["sh", "-c", 'cd /inputs && exec "$@"', "sh", f"{VENV}/bin/tsuite", *words]
    told = {**environment, "TSUITE_CACHE": "/cache"}
    there = report(root.run(inside, places=places, environment=told, timeout=timeout))
    row = {"name": name, "command": " ".join(["tsuite", *words])}
    seconds = {"seconds_here": round(middle - start, 1), "seconds_there": round(time.monotonic() - middle, 1)}
    if wrong := here.get("error") or there.get("error"):
        return {**row, **seconds, "same": False, "differences": [wrong]}
    found = compare(here, there)
    say(f"  {'the same' if not found.differences else 'DIFFERENT'}, {seconds['seconds_there']:.0f} s")
    return {
        **row,
        **seconds,
        "same": not found.differences,
        "numbers": found.numbers,
        "words": found.words,
        "largest": found.largest,
        "absolute": found.absolute,
        "peak_memory_mb_there": there["peak_memory_mb"],
        "differences": [str(item) for item in found.differences],
    }


def report(printed: str) -> dict[str, Any]:
    """The JSON object that a command printed; where it printed none, one that says so."""
    try:
        return json.loads(printed)
    except ValueError:
        return {"error": f"no JSON: {printed[-200:]!r}"}


def versions(root: Root, places: dict[str, Path]) -> dict[str, Any]:
    """Machine, Python and packages on both sides."""
    asked = (
        "import json, platform, importlib.metadata as m; print(json.dumps({'machine': platform.machine(), "
        "'python': platform.python_version(), **{n: m.version(n) for n in ('torch', 'numpy', 'tokenizers')}}))"
    )
    here = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout
    return {"here": json.loads(here), "there": json.loads(root.run([f"{VENV}/bin/python", "-c", asked], places=places))}


def table(result: dict[str, Any]) -> str:
    """The result for people."""
    lines = []
    for side in ("here", "there"):
        machine, *others = result[side].items()
        emulated = " (emulated by qemu)" if side == "there" and result["emulated"] else ""
        lines.append(f"{side + ':':7}{machine[1]}{emulated}, " + ", ".join(f"{name} {told}" for name, told in others))
    if result["here"]["torch"].partition("+")[0] != result["there"]["torch"].partition("+")[0]:
        lines.append("The two versions of torch differ: a difference may be theirs rather than the machine's.")
    lines.append(_examined(result["doctor"]))
    lines += [
        "",
        f"{'domain':12}{'numbers':>8}{'words':>7}{'largest':>10}{'here':>8}{'there':>8}   same to {TOLERANCE}",
    ]
    for row in result["domains"]:
        apart = f"{row['largest']:.1e}" if "largest" in row else "-"
        cells = f"{row['name']:12}{row.get('numbers', '-'):>8}{row.get('words', '-'):>7}{apart:>10}"
        times = f"{row['seconds_here']:>6.0f} s{row['seconds_there']:>6.0f} s"
        lines.append(f"{cells}{times}   {'yes' if row['same'] else 'NO'}")
        lines += [f"    {text}" for text in row["differences"][:10]]
    return "\n".join(lines)


def _examined(found: dict[str, Any]) -> str:
    if found["failed"]:
        return f"tsuite doctor there: {len(found['failed'])} of {found['checks']} failed: {'; '.join(found['failed'])}"
    return f"tsuite doctor there: all of {found['checks']} are well"


if __name__ == "__main__":
    sys.exit(main())
