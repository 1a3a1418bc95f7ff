#!/usr/bin/env bash
# What each part of DENEB does: one hyper-parameter at a time, GCE as the learner. Flags and variables: scripts/lib.sh.
#   bash scripts/table_ablation.sh                                    # the embedded data set
#   bash scripts/table_ablation.sh --dataset colored_mnist --bratio 0.01 --nratio 0.1
# Expect the table "What each part of DENEB does" of docs/results.md, of seeds 0 to 2. Time: 85 runs of 17 s on one
# core.
: "${NRATIOS:=}" "${BRATIOS:=}" "${METHODS:=deneb_gce}" "${LOG_DIR:=log/ablation}"
source "$(dirname "$0")/lib.sh"
for seed in $SEEDS; do
  for alg in $METHODS; do
    run --seed "$seed" --alg "$alg"
    for p_threshold in 0.1 0.3 0.7 0.9; do
      run --seed "$seed" --alg "$alg" --p_threshold $p_threshold --run_name "p_threshold=$p_threshold"
    done
    for warmup in 0 5; do
      run --seed "$seed" --alg "$alg" --warmup $warmup --run_name "warmup=$warmup"
    done
    run --seed "$seed" --alg "$alg" --warmup 1000 --run_name no_filter
    for tau in 0.5 2 5 10 20; do
      run --seed "$seed" --alg "$alg" --tau $tau --run_name "tau=$tau"
    done
    for score in loss gradient_norm; do
      run --seed "$seed" --alg "$alg" --score $score --run_name "score=$score"
      run --seed "$seed" --alg "$alg" --score $score --warmup 1000 --run_name "score=$score,no_filter"
    done
  done
done
tables
