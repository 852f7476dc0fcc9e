#!/usr/bin/env bash
# Without words the held-out digits; with words those pictures.
set -euo pipefail

tsuite=${TSUITE_ENV:-$HOME/tsuite-env}/bin/tsuite
data=${TSUITE_DATA:-$HOME/tsuite-data}/tsuite-vision
if [ ! -x "$tsuite" ]; then
  echo "tsuite is not installed at $tsuite. Run init.sh first." >&2
  exit 2
fi
mkdir -p "$data"
export TSUITE_CACHE=${TSUITE_CACHE:-${TSUITE_DATA:-$HOME/tsuite-data}/cache}
exec "$tsuite" run vision.vit --output "$data" "$@"
