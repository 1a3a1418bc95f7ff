#!/usr/bin/env bash
# Every method on one data set, then the table. Finished runs are skipped, so the loop can be stopped and repeated.
#   bash scripts/compare_methods.sh                                   # colored_digits, full schedule, 3 seeds
#   SEEDS=0 bash scripts/compare_methods.sh --dataset colored_mnist --nratio 0.1 --epochs 10 --lr_decay_opt 7
set -euo pipefail
cd "$(dirname "$0")/.."
: "${SEEDS:=0 1 2}" "${LOG_DIR:=log/compare_methods}"
: "${METHODS:=vanilla gce sce elr elr+ coteaching coteaching+ aum fine dividemix fdividemix lff disen jtt pgd
deneb_vanilla deneb_gce deneb_sce deneb_elr deneb_coteaching deneb_dividemix}"
for seed in $SEEDS; do
  for alg in $METHODS; do
    python train_mix.py --alg "$alg" --seed "$seed" --log_dir "$LOG_DIR" --no_figures --preset none "$@"
  done
done
python -m utils.results "$LOG_DIR"
