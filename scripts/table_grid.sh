#!/usr/bin/env bash
# The grid of docs/grid.md: Colored MNIST, bias by label noise, on seeds that nothing was chosen on; and at 1 % / 10 %
# other kinds of noise, each in a folder of its own beside LOG_DIR. Flags and variables: scripts/lib.sh.
#   bash scripts/table_grid.sh --gpu 0 --preset none               # the MLP, every cell
#   bash scripts/table_grid.sh --gpu 0 --run_name tuned --preset tuned
#   NRATIOS=0.1 NOISES=sym LOG_DIR=log/grid_conv bash scripts/table_grid.sh --gpu 0 --model CONV
# Expect the tables of docs/grid.md. Time: 1,900 runs of 15 epochs a stage; one of two stages takes the MLP some 40 s of
# one core or 6 s on an H200, CONV nine minutes of one core or, with other runs beside it, half a minute on an H200.
: "${BRATIOS:=0.005 0.01 0.02 0.05}" "${NRATIOS:=0 0.1 0.2 0.4}" "${SEEDS:=10 11 12 13 14}" "${LOG_DIR:=log/grid}"
: "${METHODS:=vanilla gce sce elr coteaching lff disen jtt_vanilla jtt_sce pgd_vanilla dpr_vanilla lc
  deneb_vanilla deneb_gce deneb_sce deneb_la contradicted_vanilla contradicted_gce contradicted_sce}"
: "${NOISES:=sym asym minority instance}"
source "$(dirname "$0")/lib.sh"
for noise in $NOISES; do
  for nratio in $NRATIOS; do
    for bratio in $BRATIOS; do
      place=()
      if [[ $noise != sym ]]; then
        [[ $nratio == 0.1 && $bratio == 0.01 ]] || continue
        place=(--noise_type "$noise" --log_dir "${LOG_DIR}_$noise")
      fi
      for seed in $SEEDS; do
        for alg in $METHODS; do
          cell=(--dataset colored_mnist --model MLP --opt SGD --epochs 15 --lr_decay_opt 10 --nratio "$nratio"
            --bratio "$bratio" --seed "$seed" --alg "$alg" --keep_predictions "${place[@]}")
          run "${cell[@]}"
          [[ $alg != deneb_gce ]] || run "${cell[@]}" --tau auto --run_name tau=auto
        done
      done
    done
  done
done
tables --show grid
