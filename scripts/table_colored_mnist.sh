#!/usr/bin/env bash
# Colored MNIST at four bias ratios, without and with label noise. Flags and variables: scripts/lib.sh.
#   bash scripts/table_colored_mnist.sh --gpu 0
#   SHARD=0/4 bash scripts/table_colored_mnist.sh --gpu 0     # a quarter of it
#   bash scripts/table_colored_mnist.sh --quick --model MLP   # small, to see that everything works
# Expect: at 1 % / 10 % and --epochs 15 --lr_decay_opt 10 the table of docs/results.md, the other cells at that
# schedule and with --model MLP in docs/grid.md. Time: 2,400 runs; DENEB's takes 27 minutes of one core at the full
# schedule, plain training half of that, DivideMix ten times as much; at 15 epochs DENEB's takes 30 s on an H200 with
# others beside it.
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
