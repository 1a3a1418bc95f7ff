#!/usr/bin/env bash
# Colored MNIST at four bias ratios, without and with label noise. Flags and variables: scripts/lib.sh.
#   bash scripts/table_colored_mnist.sh --gpu 0
#   SHARD=0/4 bash scripts/table_colored_mnist.sh --gpu 0     # a quarter of it
#   bash scripts/table_colored_mnist.sh --quick --model MLP   # small, to see that everything works
: "${BRATIOS:=0.005 0.01 0.02 0.05}" "${NRATIOS:=0 0.1}"
source "$(dirname "$0")/lib.sh"
for nratio in $NRATIOS; do
  for bratio in $BRATIOS; do
    for seed in $SEEDS; do
      for alg in $METHODS; do
        run --dataset colored_mnist --model CONV --opt SGD \
          --bratio "$bratio" --nratio "$nratio" --seed "$seed" --alg "$alg"
      done
    done
  done
done
tables --dataset colored_mnist --show ratios
