#!/usr/bin/env bash
# Which criterion chooses well: random searches, each method's trials judged by every criterion and by test accuracy.
# docs/selection.md shows the outcome. A trial takes about 15 s on one idle core for the embedded data set. Flags and
# variables: scripts/lib.sh; TRIALS is the budget.
#   bash scripts/compare_criteria.sh                                       # colored_digits, four methods, 3 seeds
#   METHODS=deneb_gce bash scripts/compare_criteria.sh --bratio 0.005      # further arguments go to the search
: "${SEEDS:=0 1 2}" "${NRATIOS:=}" "${BRATIOS:=}" "${LOG_DIR:=log/compare_criteria}" "${TRIALS:=24}"
: "${METHODS:=deneb_vanilla deneb_gce jtt_gce lff}"
source "$(dirname "$0")/lib.sh"
for alg in $METHODS; do
  short=(--epochs 12 --lr_decay_opt 8)
  case $alg in
    deneb_*) short=(--second.epochs 12 --second.lr_decay_opt 8) ;;
    jtt_*) short+=(--set bias_epochs=1,2,4,8 --set lbd_up=5,30,60,100) ;;
    lff) short+=(--set lr=0.02,0.05) ;;
  esac
  for seed in $SEEDS; do
    search --alg "$alg" --seed "$seed" --search_trial "$TRIALS" --run_name "seed$seed" --no_figures "${short[@]}"
  done
done
finish "$PYTHON" -m benchmarks.criteria "$LOG_DIR"
