#!/usr/bin/env bash
# tsuite on a bare board: a virtual environment that sees the board's torch, and never another torch.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
extras="" venv="" python="python3" source="" wheels="" constraints="" index="" cpu_torch=no
trio=(torch torchvision torchaudio)
known=vision,text,audio,timeseries,control,molecules,export,serve,ui,all

usage() {
  cat <<'TEXT'
Usage: install.sh [OPTIONS]

Installs tsuite beside the torch that the board has. Torch is never replaced: what is imported before and after is
compared, and anything that changed it is taken back. May be run again at any time.

  --extras LIST       of vision,text,audio,timeseries,control,molecules,export,serve,ui or all (default: none)
  --venv DIR          the environment to make or go on with (default: ~/tsuite-env). If --python belongs to a
                      virtual environment, as in some containers, tsuite goes into that one
  --python PYTHON     the Python that has the board's torch (default: python3)
  --source PATH       the checkout or the wheel to install (default: the newest tsuite wheel in --wheels, else the
                      checkout that this script lies in)
  --wheels DIR        install offline, from the wheels in this folder alone
  --index URL         a package index to use instead of pip's default, for example a mirror of it
  --constraints FILE  which versions pip may take (default: constraints-jetpack6.txt under Python 3.10,
                      constraints-jetpack7.txt under 3.12, else none)
  --cpu-torch         where there is no torch at all, install one for the CPU (it will not use the GPU)
  --help              this text

Exit codes: 0 done, 2 something you can mend (one sentence says what).
TEXT
}

say() { printf 'install: %s\n' "$*"; }

fail() {
  printf 'install: %s\n' "$*" >&2
  exit 2
}

parse() {
  while [ $# -gt 0 ]; do
    case $1 in
      --help | -h) usage && exit 0 ;;
      --cpu-torch) cpu_torch=yes && shift && continue ;;
      --extras | --venv | --python | --source | --wheels | --index | --constraints) ;;
      *) fail "There is no option $1. See --help." ;;
    esac
    [ -n "${2:-}" ] || fail "$1 needs a value. See --help."
    printf -v "${1#--}" '%s' "$2"
    shift 2
  done
  extras=${extras// /}
  local extra
  for extra in ${extras//,/ }; do # pip would warn and go on
    case ,$known, in *",$extra,"*) ;; *) fail "There is no extra $extra. There are ${known//,/, }." ;; esac
  done
}

# -- what there is --------------------------------------------------------------------------------------------------

check_python() {
  command -v "$python" >/dev/null || fail "There is no Python called $python. Name one with --python."
  python=$(command -v "$python")
  local version
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  case $version in
    3.10 | 3.11 | 3.12) ;;
    *) fail "Python $version is not supported; JetPack 6 has 3.10, JetPack 7 has 3.12. Name another with --python." ;;
  esac
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "This Python cannot make environments: sudo apt-get install python$version-venv"
  if [ -z "$constraints" ] && [ -n "${PIP_CONSTRAINT:-}" ]; then
    say "Keeping to the constraints of this machine, $PIP_CONSTRAINT." # as NVIDIA's images have them
  elif [ -z "$constraints" ]; then
    case $version in
      3.10) constraints=$here/constraints-jetpack6.txt ;;
      3.12) constraints=$here/constraints-jetpack7.txt ;;
      *) say "Python $version is no JetPack's; pip chooses the versions." ;;
    esac
  fi
  [ -z "$constraints" ] || [ -f "$constraints" ] || fail "There is no file $constraints. Name one with --constraints."
}

# Version and file of a package as `PYTHON` really imports it; nothing where it is absent.
imported() {
  "$1" - "$2" <<'PY'
import importlib, importlib.util, sys
name = sys.argv[1]
if importlib.util.find_spec(name) is not None:
    module = importlib.import_module(name)
    print(getattr(module, "__version__", "?"), module.__file__)
PY
}

check_torch() {
  torch_before=$(imported "$python" torch) || fail "torch is installed but cannot be imported (its complaint is above)."
  if [ -n "$torch_before" ]; then
    say "torch of this machine: $torch_before"
  elif [ "$cpu_torch" = yes ]; then
    say "No torch here; one for the CPU will be installed."
  else
    fail "There is no torch for $python. For the GPU take it from NVIDIA's download site (redist/jp) or the" \
      "jetson-ai-lab package index (jp6/cu126; sbsa/cu130 for JetPack 7); for the CPU alone repeat with --cpu-torch."
  fi
}

find_source() {
  if [ -n "$wheels" ]; then
    [ -d "$wheels" ] || fail "There is no folder $wheels. Name the folder of wheels with --wheels."
    wheels=$(cd "$wheels" && pwd)
    [ -n "$source" ] || source=$(find "$wheels" -maxdepth 1 -name 'tsuite-*.whl' | sort -V | tail -n 1)
    [ -n "$source" ] || fail "There is no tsuite wheel in $wheels. Name one with --source."
  fi
  [ -n "$source" ] || source=$(cd "$here/../.." && pwd)
  [ -f "$source" ] || [ -f "$source/pyproject.toml" ] || fail "$source is neither a wheel nor a checkout of tsuite."
  source=$(realpath "$source")
}

# -- the environment ------------------------------------------------------------------------------------------------

make_environment() {
  made=no
  if "$python" -c 'import sys; sys.exit(sys.prefix == sys.base_prefix)'; then
    venv=$("$python" -c 'import sys; print(sys.prefix)')
    say "Going into the environment $venv."
    return
  fi
  venv=${venv:-$HOME/tsuite-env}
  if [ -e "$venv/pyvenv.cfg" ]; then
    grep -qi '^include-system-site-packages *= *true' "$venv/pyvenv.cfg" ||
      fail "The environment $venv does not see the board's packages. Choose another with --venv."
    [ -x "$venv/bin/pip" ] || fail "The environment $venv is not whole. Remove it, or choose another with --venv."
    say "Going on with the environment $venv."
  else
    [ ! -e "$venv" ] || [ -z "$(ls -A "$venv")" ] || fail "$venv exists and is no environment. Choose another with --venv."
    made=yes
    "$python" -m venv --system-site-packages "$venv"
  fi
}

# One line for each of torch, torchvision and torchaudio: the installed version and no other, or none at all.
# The versions are read from what is installed, not imported: a broken torchvision must not stop us.
pins() {
  "$venv/bin/python" - "${trio[@]}" <<'PY'
import importlib.metadata, sys
installed = {}
for name in sys.argv[1:]:
    try:
        installed[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
for name in sys.argv[1:]:
    if name in installed:
        print(f"{name}=={installed[name]}")
    elif "torch" in installed:
        print(f"{name}<0")
    elif name == "torch":
        print("torch>=2.4,<2.11")  # PyPI's wheels for aarch64 bring CUDA's libraries from 2.11 on
PY
}

# Whether arrays pass from numpy to torch: a torch that was built against numpy 1 imports beside numpy 2, but they do not.
arrays_pass() {
  "$venv/bin/python" - <<'PY'
import importlib.util
if importlib.util.find_spec("numpy") is not None:
    import numpy, torch
    torch.from_numpy(numpy.ones(3, dtype="float32"))
PY
}

# Runs at every end: an environment that was made and did not become whole goes.
take_back() {
  local code=$?
  rm -f "${pinned:-}"
  [ "$code" -ne 0 ] || return 0
  if [ "${made:-no}" = yes ]; then
    rm -rf "$venv"
    printf 'install: %s\n' "Nothing was kept: the new environment $venv is removed, the board's torch is as it was." >&2
  fi
}

install_tsuite() {
  local options=(--quiet --disable-pip-version-check --constraint "$pinned")
  [ -z "$constraints" ] || options+=(--constraint "$constraints")
  [ -z "$wheels" ] || options+=(--no-index --find-links "$wheels")
  [ -z "$index" ] || options+=(--index-url "$index")
  local what=$source${extras:+[$extras]}
  # A wheel of the same version number may hold other code: it is installed anew, its dependencies are not.
  if ! { "$venv/bin/python" -m pip install "${options[@]}" "$what" &&
    "$venv/bin/python" -m pip install "${options[@]}" --force-reinstall --no-deps "$source"; }; then
    fail "pip could not install $what beside this torch; its reason is above."
  fi
}

verify() {
  local after name
  after=$(imported "$venv/bin/python" torch) || after="one that cannot be imported"
  if [ -z "$torch_before" ]; then
    [ -n "$after" ] || fail "torch was not installed."
    torch_before=$after
  fi
  if [ "$after" = "$torch_before" ]; then
    arrays_pass || fail "This torch does not take the arrays of the numpy that was installed beside it (the complaint is" \
      "above). Repeat with --constraints FILE, where FILE has another numpy, such as numpy<2."
    return
  fi
  if [ "$made" = no ]; then
    for name in "${trio[@]}"; do
      "$venv/bin/python" -m pip uninstall --quiet --yes "$name" 2>/dev/null || true
    done
    say "torch, torchvision and torchaudio were taken out of $venv; it now has: $(imported "$venv/bin/python" torch)"
  fi
  fail "The installation changed torch from $torch_before to $after, and was taken back."
}

main() {
  parse "$@"
  check_python
  check_torch
  find_source
  trap take_back EXIT
  make_environment
  pinned=$(mktemp)
  pins >"$pinned"
  say "Installing $source${extras:+ with $extras}. This takes some minutes."
  install_tsuite
  verify
  install -m 755 "$here/finetune-or-resume.sh" "$venv/bin/tsuite-finetune-or-resume"
  say "$("$venv/bin/tsuite" --version) is in $venv; torch is $torch_before."
  say "Next: . $venv/bin/activate && tsuite doctor"
}

main "$@"
