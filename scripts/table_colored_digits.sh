#!/usr/bin/env bash
# The embedded data set: every row of the paper's tables in minutes each. Flags and variables: scripts/lib.sh.
#   bash scripts/table_colored_digits.sh --preset none
#   METHODS="vanilla deneb_gce" SEEDS="0 1 2" bash scripts/table_colored_digits.sh
# Expect the first tables of docs/results.md. Time: 300 runs of 44 s on one core: 12 s for plain training, two minutes
# for DivideMix.
: "${BRATIOS:=0.05}" "${NRATIOS:=0.1}"
source "$(dirname "$0")/lib.sh"
for nratio in $NRATIOS; do
  for bratio in $BRATIOS; do
    for seed in $SEEDS; do
      for alg in $METHODS; do
        run --dataset colored_digits --bratio "$bratio" --nratio "$nratio" --seed "$seed" --alg "$alg"
      done
    done
  done
done
tables --dataset colored_digits
