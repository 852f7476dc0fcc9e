#!/usr/bin/env bash
# Without words three held-out prompts; with words those recordings.
set -euo pipefail

tsuite=${TSUITE_ENV:-$HOME/tsuite-env}/bin/tsuite
data=${TSUITE_DATA:-$HOME/tsuite-data}/tsuite-audio
if [ ! -x "$tsuite" ]; then
  echo "tsuite is not installed at $tsuite. Run init.sh first." >&2
  exit 2
fi
mkdir -p "$data"
export TSUITE_CACHE=${TSUITE_CACHE:-${TSUITE_DATA:-$HOME/tsuite-data}/cache}
exec "$tsuite" run audio.asr --output "$data" "$@"
