#!/usr/bin/env bash
# BAR on features of a frozen network, every method: docs/photographs.md. Flags and variables: scripts/lib.sh.
#   bash scripts/table_bar_frozen.sh --model timm:tf_efficientnet_lite0 --weights FILE
# Expect the table of BAR in docs/photographs.md. Time: 585 runs of 20 s on one busy core.
: "${NRATIOS:=0 0.1 0.2}" "${BRATIOS:=}" "${SEEDS:=10 11 12 13 14}" "${LOG_DIR:=log/photographs}"
: "${METHODS:=vanilla knn_vanilla knn_afr afr self gce sce elr elr+ coteaching coteaching+ dividemix fdividemix aum fine
  confident sop sop+ lff disen jtt pgd xrm dpr lc deneb_vanilla deneb_gce deneb_sce deneb_elr deneb_elr+
  deneb_coteaching deneb_coteaching+ deneb_dividemix deneb_fdividemix deneb_la contradicted_vanilla contradicted_gce
  contradicted_sce contradicted_elr}"
source "$(dirname "$0")/lib.sh"
for nratio in $NRATIOS; do
  for alg in $METHODS; do
    for seed in $SEEDS; do
      run --dataset bar --frozen --nratio "$nratio" --seed "$seed" --alg "$alg"
    done
  done
done
tables --dataset bar --when end
