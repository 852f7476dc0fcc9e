#!/usr/bin/env bash
# Checks the board, then installs tsuite beside its torch unless it is there.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=$(basename "$here")
env=${TSUITE_ENV:-$HOME/tsuite-env}

if [ -f "$here/../utils.sh" ]; then # inside jetson-examples: its own check of L4T, disk and memory
  set +eu
  # shellcheck source=/dev/null
  . "$here/../utils.sh"
  check_base_env "$here/config.yaml"
  set -eu
fi

installer=${TSUITE_SOURCE:-$here/../../../..}/deploy/jetson/install.sh
if [ ! -f "$installer" ]; then
  echo "There is no tsuite at ${TSUITE_SOURCE:-$here/../../../..}. Set TSUITE_SOURCE to its checkout." >&2
  exit 2
fi
bash "$installer" --venv "$env" --extras "${TSUITE_EXTRAS:-${name#tsuite-}}"
