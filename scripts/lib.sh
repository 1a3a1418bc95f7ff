# Sourced by the table scripts: the rows of the tables, what their flags and variables mean, and `run`.
#
#   --quick                seed 0, the first of BRATIOS, the last of NRATIOS, one epoch: to see that everything works
#   any other flag         goes to every train_mix.py, such as --data_dir, --epochs or --preset none
#   SEEDS="0 1 2"          and so METHODS, BRATIOS, NRATIOS, LOG_DIR: what to loop over, and where runs go
#   SHARD=2/8              the third eighth of the runs, for one of eight machines that share LOG_DIR
#   JOBS=8                 eight runs side by side; what they print is in their folders' train.log
#   JOBS=8 GPUS="0 1"      on these GPUs in turn
#   DRY_RUN=1              prints the commands, whose paths are seen from the folder of the code
#   PYTHON=python3         another interpreter
#
# Finished runs are skipped and interrupted ones go on, so that a loop can be stopped and started again: Ctrl-C or kill
# end all that it started. A run that fails is named at the end and does not stop the others.
set -efo pipefail # -f: a * in METHODS is a wrong name, not all files
cd "$(dirname "${BASH_SOURCE[0]}")/.."

DENOISE="gce sce elr+ aum coteaching coteaching+ dividemix fdividemix"
DEBIAS="lff jtt disen"
ROWS="vanilla $DENOISE $DEBIAS"
for first in aum coteaching coteaching+ dividemix fdividemix; do # those that pass a cleaned set on
  for second in $DEBIAS; do ROWS+=" ${first}_$second"; done
done
for first in $DEBIAS deneb; do
  for second in $DENOISE; do ROWS+=" ${first}_$second"; done
done
ROWS+=" deneb_vanilla"

: "${METHODS:=$ROWS}" "${SEEDS:=0 1 2 3 4}" "${LOG_DIR:=log/tables}" "${SHARD:=0/1}" "${DRY_RUN:=}" "${PYTHON:=python}"
: "${JOBS:=1}" "${GPUS:=}" "${PART:=}"
if [[ ! $SHARD =~ ^([0-9]+)/([1-9][0-9]*)$ ]] || ((10#${BASH_REMATCH[1]} >= 10#${BASH_REMATCH[2]})); then
  echo "error: SHARD=$SHARD is not i/n with i from 0 to n-1, such as 0/4." >&2
  exit 2
fi
shard=$((10#${BASH_REMATCH[1]})) shards=$((10#${BASH_REMATCH[2]}))
if [[ ! $JOBS =~ ^[1-9][0-9]*$ ]]; then
  echo "error: JOBS=$JOBS is not a number of runs, 1 or more." >&2
  exit 2
fi

extra=() number=0 failed=()
for flag in "$@"; do
  if [[ $flag == --quick ]]; then
    SEEDS=0 BRATIOS=${BRATIOS%% *} NRATIOS=${NRATIOS##* }
    extra+=(--epochs 1)
  else
    extra+=("$flag")
  fi
done

parts=() child=
stop() {
  kill "${parts[@]}" $child 2>/dev/null || true
  wait
  exit 130
}
trap stop INT TERM

if ((JOBS > 1)) && [[ -z $DRY_RUN ]]; then # this many copies of the script, each with a part of the shard's runs
  gpus=($GPUS)
  for ((job = 0; job < JOBS; job++)); do
    gpu=()
    ((${#gpus[@]} == 0)) || gpu=(--gpu "${gpus[job % ${#gpus[@]}]}")
    part=$((shard + job * shards))/$((shards * JOBS))
    PART=1 SHARD=$part JOBS=1 bash "scripts/${0##*/}" "$@" "${gpu[@]}" >/dev/null 2> >(cat >&2) &
    parts+=($!)
  done
fi

# quoted WORDS: them as a command that a shell reads as the same words.
quoted() {
  local word line=
  for word in "$@"; do
    [[ $word =~ ^[A-Za-z0-9_@%+=:,./-]+$ ]] || printf -v word %q "$word"
    line+="$word "
  done
  echo "${line% }"
}

# run FLAGS: one training; search FLAGS: one search of hyper-parameters; if it belongs to this shard.
run() { start train_mix.py "$@"; }
search() { start preset_standalone.py "$@"; }
start() {
  ((${#parts[@]} == 0)) || return 0
  local mine=$((number++ % shards == shard)) code=0
  ((mine)) || return 0
  local script=$1 command
  shift
  command=("$PYTHON" "$script" --log_dir "$LOG_DIR" "$@" "${extra[@]}")
  if [[ -n $DRY_RUN ]]; then
    quoted "${command[@]}"
    return 0
  fi
  "${command[@]}" & # in the foreground it would keep a signal from `stop`
  child=$!
  wait "$child" || code=$?
  child=
  ((code != 130)) || exit 130 # interrupted
  ((code == 0)) || failed+=("$(quoted "${command[@]}")")
}

# finish COMMAND: once all has ended, what shows the outcome; the script ends with 1 if a run failed.
# tables FLAGS: the same with the tables of what has been collected so far.
tables() { finish "$PYTHON" -m utils.results "$LOG_DIR" "$@"; }
finish() {
  [[ -z $DRY_RUN ]] || return 0
  local part code=0
  for part in "${parts[@]}"; do wait "$part" || code=1; done
  [[ -n $PART ]] || "$@" || code=1
  ((${#failed[@]} == 0)) || { printf 'failed: %s\n' "${failed[@]}" >&2; code=1; }
  return $code
}
