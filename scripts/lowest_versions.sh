#!/usr/bin/env bash
# The oldest libraries that requirements.txt allows, in a virtual environment of their own: README's first command and
# the fast tests. Takes some gigabytes and minutes to install.
#   bash scripts/lowest_versions.sh                             # below a temporary folder, which is removed again
#   PYTHON=python3.11 bash scripts/lowest_versions.sh ~/lowest  # kept there, and taken again the next time
set -euo pipefail
cd "$(dirname "$0")/.."
: "${PYTHON:=python3}"
environment=${1:-}
if [[ -z $environment ]]; then
  environment=$(mktemp -d)
  trap 'rm -rf "$environment"' EXIT
fi
[[ -x $environment/bin/python ]] || "$PYTHON" -m venv "$environment"
sed 's/>=/==/' requirements.txt >"$environment/lowest.txt"
"$environment/bin/pip" install -q -r "$environment/lowest.txt" pytest==8.0
"$environment/bin/pip" check
"$environment/bin/python" train_mix.py --alg deneb_gce --epochs 2 --log_dir "$environment/log" --overwrite
"$environment/bin/python" -m pytest tests/algorithms tests/data tests/models tests/utils
