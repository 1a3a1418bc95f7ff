#!/usr/bin/env bash
# All that wants a GPU, in nine minutes at the most: tests, ratios to the bare loop, and the paper's command timed.
#   bash scripts/on_gpu.sh OUT               what was printed and JSON lines go to the folder OUT
#   GPU=cpu bash scripts/on_gpu.sh OUT       a rehearsal without one
#   SECONDS_LEFT=300 DATA_DIR=datasets       another bound on the time; where MNIST's files are (MNIST/raw/)
# Sections come in the order of their worth: when the time is up, the later ones are cut.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:?usage: bash scripts/on_gpu.sh OUT}
: "${GPU:=0}" "${SECONDS_LEFT:=540}" "${DATA_DIR:=datasets}" "${PYTHON:=python}"
mkdir -p "$out"
end=$((SECONDS + SECONDS_LEFT)) failed=0

# section NAME COMMAND: runs it within the time that is left; its output goes to NAME.log, a line to sections.jsonl.
section() {
  local name=$1 left=$((end - SECONDS)) start=$SECONDS code=0
  shift
  if ((left < 5)); then
    echo "$name: cut, the time is up"
    code=124
  else
    timeout "$left" "$@" >"$out/$name.log" 2>&1 || code=$?
    tail -n 40 "$out/$name.log"
  fi
  ((code == 0)) || failed=1
  printf '{"section": "%s", "exit_code": %d, "seconds": %d}\n' "$name" "$code" $((SECONDS - start)) >>"$out/sections.jsonl"
}

mission=(train_mix.py --gpu "$GPU" --bratio 0.01 --nratio 0.1 --dataset colored_mnist --model CONV --opt SGD --alg deneb_gce)
mission+=(--data_dir "$DATA_DIR" --log_dir "$out/log" --no_figures)
[[ $GPU == cpu ]] && mission+=(--epochs 1) && export CUDA_TESTS_ON=cpu
cp benchmarks/history.jsonl "$out/history_before.jsonl"

workers=() # eight tests at once, where pytest-xdist is installed
"$PYTHON" -c "import xdist" 2>/dev/null && workers=(-n 8 -p no:benchmark)

section environment "$PYTHON" -m torch.utils.collect_env
section tests "$PYTHON" -m pytest -m cuda -p no:cacheprovider "${workers[@]}" tests/algorithms/test_cuda.py
section mission "$PYTHON" "${mission[@]}"
for jobs in 1 4 8 16; do # runs of five epochs side by side: 60 * jobs / seconds is their number per minute
  section "jobs_$jobs" env JOBS=$jobs SEEDS="$(seq -s " " "$jobs")" METHODS=vanilla LOG_DIR="$out/log/jobs_$jobs" \
    bash scripts/table_beyond_deneb.sh "${mission[@]:3:8}" --gpu "$GPU" --data_dir "$DATA_DIR" --epochs 5 --no_figures \
    --threads 1 --best_by valid_accuracy
done
section epochs "$PYTHON" -m benchmarks.epoch --gpu "$GPU" --networks CONV MLP ResNet20 CIFAR_ResNet18 --repeats 3 --sizes
section methods "$PYTHON" -m benchmarks.methods --gpu "$GPU" --networks CONV MLP --repeats 2 --size 54000
section bf16 "$PYTHON" -m benchmarks.methods --gpu "$GPU" --networks ResNet20 CONV --amp bf16 --repeats 2 --size 50000 \
  --methods vanilla gce deneb
section mission_bf16 "$PYTHON" "${mission[@]}" --amp bf16 --run_name bf16

diff "$out/history_before.jsonl" benchmarks/history.jsonl | sed -n 's/^> //p' >"$out/benchmarks.jsonl"
rm "$out/history_before.jsonl"
exit "$failed"
