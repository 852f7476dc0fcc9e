#!/usr/bin/env bash
# Removes what the application saved; with --all also what was fetched, and the environment that all of them share.
set -euo pipefail

name=$(basename "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)")
data=${TSUITE_DATA:-$HOME/tsuite-data}
rm -rf -- "${data:?}/${name:?}"
echo "$data/$name is removed."
if [ "${1:-}" = --all ]; then
  env=${TSUITE_ENV:-$HOME/tsuite-env}
  rm -rf -- "${data:?}/cache"
  echo "$data/cache is removed."
  if [ -f "$env/pyvenv.cfg" ]; then # nothing but an environment
    rm -rf -- "${env:?}"
    echo "$env is removed."
  fi
fi
