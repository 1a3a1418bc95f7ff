#!/usr/bin/env bash
# Corrupted CIFAR-10 at four bias ratios, without and with label noise. Flags and variables: scripts/lib.sh.
#   bash scripts/table_corrupted_cifar.sh --gpu 0 --amp auto
#   BRATIOS=0.05 NRATIOS=0.1 SEEDS=10 METHODS="vanilla lff jtt_vanilla deneb_gce deneb_la contradicted_sce" \
#     bash scripts/table_corrupted_cifar.sh --gpu cpu --threads 1 --per_class 1000 --batch_size 64 --epochs 15 \
#     --lr_decay_opt 10 --best_by valid_accuracy --eval_every 5 --preset none
# Expect of the second the table of docs/grid.md, of the whole the published numbers in docs/claims.md, which are without
# label noise. Time: 2,440 runs; the second takes some two hours of one core, an epoch of plain training 40 s.
: "${BRATIOS:=0.005 0.01 0.02 0.05}" "${NRATIOS:=0 0.1}"
source "$(dirname "$0")/lib.sh"
for nratio in $NRATIOS; do
  for bratio in $BRATIOS; do
    for seed in $SEEDS; do
      for alg in $METHODS; do
        cell=(--dataset corrupted_cifar --model ResNet20 --opt Adam --bratio "$bratio" --nratio "$nratio" --seed "$seed"
          --alg "$alg")
        run "${cell[@]}"
        [[ $alg != deneb_gce ]] || run "${cell[@]}" --tau auto --run_name tau=auto
      done
    done
  done
done
tables --dataset corrupted_cifar --show ratios
