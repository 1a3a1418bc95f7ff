#!/usr/bin/env bash
# A table as a Slurm array job, one shard a task, on a file system that all tasks share:
#   sbatch scripts/slurm.sh scripts/table_colored_mnist.sh
# A task that is preempted is queued again by Slurm, one that runs out of time by itself; it goes on after its last
# finished epoch.
#SBATCH --job-name=deneb
#SBATCH --array=0-15
#SBATCH --gpus=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --output=slurm-%A_%a.txt
set -eo pipefail
SHARD="$((SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN))/$SLURM_ARRAY_TASK_COUNT" bash "$@" --gpu 0 &
again() { # two minutes before the time is up
  kill $!
  wait $! || true
  scontrol requeue "$SLURM_JOB_ID"
  exit 0
}
trap again USR1
wait $!
