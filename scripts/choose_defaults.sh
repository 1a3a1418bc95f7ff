#!/usr/bin/env bash
# The evidence behind the defaults of tau and q: DENEB over a grid of both, judged without test data.
# `docs/methods.md` shows the outcome. About 15 s a run on one core for the embedded data set. Flags and variables:
# scripts/lib.sh.
#   bash scripts/choose_defaults.sh                              # all runs, then the table
#   bash scripts/choose_defaults.sh --dataset colored_mnist ...  # further arguments go to train_mix.py
: "${SEEDS:=0 1 2}" "${NRATIOS:=}" "${BRATIOS:=}" "${LOG_DIR:=log/choose_defaults}"
source "$(dirname "$0")/lib.sh"
for seed in $SEEDS; do
  for tau in 0.5 1 5; do
    for q in 0.1 0.3 0.5 0.7 0.9; do
      run --alg deneb_gce --seed "$seed" --tau $tau --q $q --run_name "tau${tau}_q$q" --no_figures --preset none
    done
  done
done
finish "$PYTHON" - "$LOG_DIR" <<'PYTHON'
import json, statistics, sys
from collections import defaultdict
from pathlib import Path

cells = defaultdict(list)
for path in Path(sys.argv[1]).glob("*/deneb_gce/*/*/result.json"):
    result = json.loads(path.read_text())
    key = result["stages"][0]["hparams"]["tau"], result["stages"][1]["hparams"]["q"]
    cells[path.parts[-5], *key].append(result["end"])
print(f"{'data set':<16}{'tau':>5}{'q':>5}{'n':>4}{'contradicted valid':>20}{'plain valid':>13}{'(test, shown only)':>20}")
for (dataset, tau, q), ends in sorted(cells.items()):
    mean = {key: 100 * statistics.mean(end[key] for end in ends) for key in ends[0] if key != "epoch"}
    print(f"{dataset:<16}{tau:>5}{q:>5}{len(ends):>4}{mean['contradicted_valid_accuracy']:>20.1f}"
          f"{mean['valid_accuracy']:>13.1f}{mean['test_accuracy']:>20.1f}")
PYTHON
