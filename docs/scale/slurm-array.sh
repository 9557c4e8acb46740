#!/bin/bash
# Extraction as an array of independent jobs, one GPU each: no scheduler of Dask's.
#   sbatch slurm-array.sh /shared/photos /shared/feats.zarr
# A task that was cut off by the time limit is submitted again, and goes on where it stopped.
#SBATCH --array=0-7
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --mem=16G
#SBATCH --time=12:00:00
set -euo pipefail
dseg extract --images "$1" --out "$2" --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"
