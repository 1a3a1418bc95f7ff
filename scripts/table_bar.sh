#!/usr/bin/env bash
# BAR, photographs of actions, whose bias is in its files. Flags and variables: scripts/lib.sh.
#   bash scripts/table_bar.sh --gpu 0
#   bash scripts/table_bar.sh --gpu 0 --model ResNet18        # without ImageNet weights
# Expect: no run of it is kept; docs/claims.md has published numbers, without label noise. Time: 600 runs, not
# measured.
: "${NRATIOS:=0 0.1}" "${BRATIOS:=}"
source "$(dirname "$0")/lib.sh"
for nratio in $NRATIOS; do
  for seed in $SEEDS; do
    for alg in $METHODS; do
      run --dataset bar --model pretrained_ResNet18 --augment deneb --nratio "$nratio" --seed "$seed" --alg "$alg"
    done
  done
done
tables --dataset bar --show ratios
