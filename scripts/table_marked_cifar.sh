#!/usr/bin/env bash
# CIFAR-10 with a frame or a patch, on features of a frozen network: docs/photographs.md. Flags and variables:
# scripts/lib.sh.
#   bash scripts/table_marked_cifar.sh --model timm:tf_efficientnet_lite0 --weights FILE
# Expect the tables in docs/photographs.md. Time: 600 runs of some ten seconds of one core with --per_class 300, once the
# features are there; longer on all images.
: "${DATASETS:=framed_cifar patched_cifar}" "${BRATIOS:=0.01 0.02 0.05}" "${NRATIOS:=0.1}" "${SEEDS:=10 11 12 13 14}"
: "${METHODS:=vanilla knn_vanilla afr self gce sce elr lff lc jtt_vanilla jtt_sce pgd_vanilla xrm_vanilla deneb_vanilla
  deneb_gce deneb_sce deneb_elr deneb_la contradicted_gce contradicted_sce}" "${LOG_DIR:=log/photographs}"
source "$(dirname "$0")/lib.sh"
for dataset in $DATASETS; do
  for bratio in $BRATIOS; do
    for nratio in $NRATIOS; do
      for alg in $METHODS; do
        for seed in $SEEDS; do
          run --dataset "$dataset" --frozen --bratio "$bratio" --nratio "$nratio" --seed "$seed" --alg "$alg"
        done
      done
    done
  done
done
tables --when end
