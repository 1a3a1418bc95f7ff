#!/usr/bin/env bash
# Which criterion chooses well: random searches, each method's trials judged by every criterion and by test accuracy.
# docs/selection.md shows the outcome. A trial takes about 15 s on one idle core for the embedded data set.
#   bash scripts/compare_criteria.sh                                       # colored_digits, four methods, 3 seeds
#   METHODS=deneb_gce bash scripts/compare_criteria.sh --bratio 0.005      # further arguments go to the search
set -efuo pipefail
cd "$(dirname "$0")/.."
: "${SEEDS:=0 1 2}" "${TRIALS:=24}" "${LOG_DIR:=log/compare_criteria}" "${METHODS:=deneb_vanilla deneb_gce jtt_gce lff}"
for alg in $METHODS; do
  short=(--epochs 12 --lr_decay_opt 8)
  case $alg in
    deneb_*) short=(--second.epochs 12 --second.lr_decay_opt 8) ;;
    jtt_*) short+=(--set bias_epochs=1,2,4,8 --set lbd_up=5,30,60,100) ;;
    lff) short+=(--set lr=0.02,0.05) ;;
  esac
  for seed in $SEEDS; do
    python preset_standalone.py --alg "$alg" --seed "$seed" --search_trial "$TRIALS" --run_name "seed$seed" \
      --log_dir "$LOG_DIR" --no_figures "${short[@]}" "$@"
  done
done
python -m benchmarks.criteria "$LOG_DIR"
