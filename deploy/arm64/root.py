"""A small arm64 system in a folder, and commands that run in it, emulated by qemu where this machine is no Arm.

Everything that is mounted is mounted in a namespace of the one command: when it ends nothing is left mounted, and the
folder can be removed like any other.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

INCLUDED = ("python3", "python3-venv", "python3-pip", "ca-certificates")
BINFMT = Path("/proc/sys/fs/binfmt_misc")
TOOLS = ("debootstrap", "chroot", "unshare", "mount")
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}


def missing() -> str:
    """Why an arm64 root cannot be made and entered here, in a sentence; nothing where it can."""
    if platform.system() != "Linux":
        return "An arm64 root needs Linux."
    if os.geteuid() != 0:
        return "An arm64 root needs root rights (chroot, mount)."
    if absent := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return f"An arm64 root needs {', '.join(absent)}: apt-get install debootstrap util-linux"
    return "" if is_arm() else _emulation_missing()


def is_arm() -> bool:
    """Whether this machine runs arm64 programs by itself."""
    return platform.machine() in ("aarch64", "arm64")


def _emulation_missing() -> str:
    """Register qemu for arm64 programs if need be; a sentence where that does not work."""
    if not BINFMT.exists():
        return "This kernel has no binfmt_misc, so arm64 programs cannot be started through qemu."
    if not (BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)], capture_output=True, check=False)
    if not (BINFMT / "qemu-aarch64").exists() and shutil.which("update-binfmts"):
        subprocess.run(["update-binfmts", "--enable", "qemu-aarch64"], capture_output=True, check=False)
    handler = BINFMT / "qemu-aarch64"
    if not handler.exists() or "enabled" not in handler.read_text(encoding="utf-8"):
        return "qemu is not registered for arm64 programs: apt-get install qemu-user-static binfmt-support"
    return ""


@dataclass(frozen=True, kw_only=True)
class Root:
    """The system in `folder`; `log` gets what the commands say. Commands run at the lowest priority but one."""

    folder: Path
    log: Path

    def make(self, suite: str, mirror: str = "") -> None:
        """Bootstrap `suite` (bookworm, jammy, noble …) unless it stands already; a broken attempt is begun anew.

        mirror: where packages come from (nothing: debootstrap's own choice for the suite).
        """
        if (self.folder / "usr/bin/python3").exists():
            return
        attempt = self.folder.with_name(self.folder.name + ".partial")
        shutil.rmtree(attempt, ignore_errors=True)
        words = ["debootstrap", "--arch=arm64", "--variant=minbase", f"--include={','.join(INCLUDED)}", suite]
        self._checked([*words, str(attempt), *([mirror] if mirror else [])])
        attempt.rename(self.folder)

    def run(
        self,
        command: Sequence[str],
        *,
        places: Mapping[str, Path],
        environment: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> str:
        """What `command` prints on stdout, run inside; `places` are folders of this machine by their name inside
        ("/wheels"). Raises CalledProcessError, TimeoutExpired (seconds)."""
        mounts = ["mount -t proc proc proc", "mount --rbind /dev dev"]
        if is_arm():  # under qemu /sys would describe this machine's processor: onnxruntime 1.32 crashes over that
            mounts.append("mount -t sysfs -o ro sys sys")
        if Path("/etc/resolv.conf").exists():
            mounts.append("cp /etc/resolv.conf etc/resolv.conf")
        for inside, outside in places.items():
            mounts += [f"mkdir -p .{inside}", f"mount --bind {shlex.quote(str(outside))} .{inside}"]
        words = [f"{name}={value}" for name, value in {**ENVIRONMENT, **(environment or {})}.items()]
        # No exec: the shell is the first process of its namespace, and that one would survive its own crash, hanging
        script = " && ".join([*mounts, f"{shlex.join(['env', '-i', *words, 'chroot', '.', *command])}; exit $?"])
        return self._checked(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation=private", "sh", "-c", script],
            timeout=timeout,
        )

    def remove(self) -> None:
        """Delete the system."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.folder.with_name(self.folder.name + ".partial"), ignore_errors=True)

    def _checked(self, command: list[str], timeout: float | None = None) -> str:
        where = self.folder if self.folder.exists() else self.folder.parent
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"\n$ {shlex.join(command)}\n")
            log.flush()
            process = subprocess.Popen(
                ["nice", "-n", "10", *command], cwd=where, stdout=subprocess.PIPE, stderr=log, text=True
            )
            try:
                printed, _ = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()  # unshare takes all that runs inside with it
                process.wait()
                raise
            log.write(printed)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command, printed)
        return printed
