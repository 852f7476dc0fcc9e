#!/usr/bin/env bash
# Begins a fine-tuning, or goes on with it where it was interrupted. The systemd unit tsuite-finetune@ calls this.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: MODEL=NAME [OPTIONS='…'] finetune-or-resume.sh RUN

Runs `tsuite finetune NAME --run RUN OPTIONS` where the folder RUN holds no run yet, `tsuite finetune NAME --run RUN
--resume` where it does, and nothing where that run is finished. OPTIONS may hold quotes, as in --data 'my pictures'.
TSUITE is the command to call (default: the tsuite beside this script, else the one on the path).
TEXT
}

case ${1:---help} in
  --help | -h) usage && exit 0 ;;
esac
run=$1
[ -n "${MODEL:-}" ] || { printf '%s\n' "MODEL is not set: which model is to be trained? See --help." >&2 && exit 2; }
beside=$(dirname "$(realpath "${BASH_SOURCE[0]}")")/tsuite
[ -x "$beside" ] || beside=tsuite
tsuite=${TSUITE:-$beside}

if [ -f "$run/card.json" ]; then
  echo "The run in $run is finished."
elif [ -f "$run/config.yaml" ]; then
  exec "$tsuite" finetune "$MODEL" --run "$run" --resume
else
  words=()
  # xargs takes quotes apart without running anything, which `eval` would
  [ -z "${OPTIONS:-}" ] || mapfile -t words < <(xargs -n 1 printf '%s\n' <<<"$OPTIONS")
  exec "$tsuite" finetune "$MODEL" --run "$run" "${words[@]}"
fi
