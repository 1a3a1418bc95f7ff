#!/usr/bin/env bash
# The runs of docs/beyond_deneb.md: our methods beside DENEB at three temperatures, JTT and plain training, on seeds
# that nothing was chosen on. Flags and variables: scripts/lib.sh.
#   bash scripts/table_beyond_deneb.sh
#   bash scripts/table_beyond_deneb.sh --dataset colored_mnist --bratio 0.01 --nratio 0.1 --epochs 15 --lr_decay_opt 10
# Expect the tables of docs/beyond_deneb.md. Time: 60 runs of a minute on one core; Colored MNIST takes nine minutes
# of one core a run of two stages or, with other runs beside it, 40 s on an H200.
: "${SEEDS:=10 11 12 13 14}" "${NRATIOS:=}" "${BRATIOS:=}" "${LOG_DIR:=log/beyond}"
: "${METHODS:=contradicted_sce contradicted_gce contradicted_vanilla deneb_gce deneb_sce deneb_la jtt_vanilla jtt_sce
  gce vanilla}"
source "$(dirname "$0")/lib.sh"
for seed in $SEEDS; do
  for alg in $METHODS; do
    run --seed "$seed" --alg "$alg"
    if [[ $alg == deneb_gce ]]; then
      for tau in 0.5 auto; do
        run --seed "$seed" --alg "$alg" --tau $tau --run_name "tau=$tau"
      done
    fi
  done
done
tables
