#!/usr/bin/env bash
# Without words a chat; with words a reply to them.
set -euo pipefail

tsuite=${TSUITE_ENV:-$HOME/tsuite-env}/bin/tsuite
data=${TSUITE_DATA:-$HOME/tsuite-data}/tsuite-text
if [ ! -x "$tsuite" ]; then
  echo "tsuite is not installed at $tsuite. Run init.sh first." >&2
  exit 2
fi
mkdir -p "$data"
export TSUITE_CACHE=${TSUITE_CACHE:-${TSUITE_DATA:-$HOME/tsuite-data}/cache}
exec "$tsuite" run text.phi15_zh --output "$data" "$@"
