#!/usr/bin/env bash
# How the defaults of `contradicted` were chosen: its weights and shares, one trained prejudice model per seed.
# Flags and variables: scripts/lib.sh.
#   bash scripts/choose_contradicted.sh
#   bash scripts/choose_contradicted.sh --dataset colored_mnist --bratio 0.01 --nratio 0.1 --epochs 15 --lr_decay_opt 10
: "${SEEDS:=0 1 2 3 4}" "${NRATIOS:=}" "${BRATIOS:=}" "${METHODS:=contradicted_vanilla contradicted_gce}"
: "${LOG_DIR:=log/choose_contradicted}" "${WEIGHTS:=posterior root mixture even}" "${SHARES:=0.5 0.9}"
source "$(dirname "$0")/lib.sh"
for seed in $SEEDS; do
  for alg in $METHODS; do
    for weight in $WEIGHTS; do
      run --seed "$seed" --alg "$alg" --weight "$weight" --run_name "weight=$weight"
    done
    for share in $SHARES; do
      run --seed "$seed" --alg "$alg" --share "$share" --run_name "share=$share"
    done
  done
done
tables
