#!/usr/bin/env bash
# Presets for the grid of docs/grid.md: each method gets the same number of trials in one cell of it, on a seed that is
# not reported, judged without true labels or test images. Learning rates are searched, too, so that plain training has
# something to tune. Flags and variables: scripts/lib.sh; TRIALS is the budget.
#   JOBS=2 bash scripts/tune_grid.sh --threads 1
#   cp log/tune_grid/colored_mnist/lff/0.1_0.01/preset/best.json presets/colored_mnist/lff.json   # for --preset tuned
# Time: a trial of two stages takes some 40 s of one core. Searches go on where they were stopped.
: "${BRATIOS:=0.01}" "${NRATIOS:=0.1}" "${SEEDS:=5}" "${LOG_DIR:=log/tune_grid}" "${TRIALS:=12}"
: "${METHODS:=vanilla gce sce elr coteaching lff disen jtt_vanilla jtt_sce pgd_vanilla dpr_vanilla lc
  deneb_vanilla deneb_gce deneb_sce deneb_la contradicted_vanilla contradicted_gce contradicted_sce}"
source "$(dirname "$0")/lib.sh"
for bratio in $BRATIOS; do
  for nratio in $NRATIOS; do
    for seed in $SEEDS; do
      for alg in $METHODS; do
        short=() # the declared spaces, but for values that 15 epochs have no room for, and JTT's weight for few draws
        case $alg in
          jtt_*) short=(--set bias_epochs=1,5,15 --set lbd_up=5,30,60,100) ;;
          deneb_* | contradicted_*) short=(--set warmup=0,1,5) ;;
          disen) short=(--set warmup=0,4,8) ;;
        esac
        search --dataset colored_mnist --model MLP --opt SGD --epochs 15 --lr_decay_opt 10 --nratio "$nratio" \
          --bratio "$bratio" --seed "$seed" --alg "$alg" --search_trial "$TRIALS" --hyperopt --no_figures \
          --set lr=0.01,0.03,0.1 "${short[@]}"
      done
    done
  done
done
finish true
