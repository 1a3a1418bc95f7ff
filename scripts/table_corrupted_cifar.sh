#!/usr/bin/env bash
# Corrupted CIFAR-10 at four bias ratios, without and with label noise. Flags and variables: scripts/lib.sh.
#   bash scripts/table_corrupted_cifar.sh --gpu 0 --amp auto
# Expect: no run of it is kept; docs/claims.md has published numbers, without label noise. Time: 2,400 runs; with
# --per_class 1000 an epoch of plain training takes some 48 s of one core.
: "${BRATIOS:=0.005 0.01 0.02 0.05}" "${NRATIOS:=0 0.1}"
source "$(dirname "$0")/lib.sh"
for nratio in $NRATIOS; do
  for bratio in $BRATIOS; do
    for seed in $SEEDS; do
      for alg in $METHODS; do
        run --dataset corrupted_cifar --model ResNet20 --opt Adam \
          --bratio "$bratio" --nratio "$nratio" --seed "$seed" --alg "$alg"
      done
    done
  done
done
tables --dataset corrupted_cifar --show ratios
