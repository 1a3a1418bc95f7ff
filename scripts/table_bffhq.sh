#!/usr/bin/env bash
# BFFHQ, faces, whose bias is in its files. Flags and variables: scripts/lib.sh.
#   bash scripts/table_bffhq.sh --gpu 0
# Expect: no run of it is kept; docs/claims.md has published numbers, without label noise. Time: 600 runs, not
# measured.
: "${NRATIOS:=0 0.1}" "${BRATIOS:=}"
source "$(dirname "$0")/lib.sh"
for nratio in $NRATIOS; do
  for seed in $SEEDS; do
    for alg in $METHODS; do
      run --dataset bffhq --model ResNet18 --nratio "$nratio" --seed "$seed" --alg "$alg"
    done
  done
done
tables --dataset bffhq --show ratios
