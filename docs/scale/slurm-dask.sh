#!/bin/bash
# One Dask cluster over several nodes, a worker a GPU.
#   sbatch slurm-dask.sh /shared/photos /shared/feats.zarr
# More workers may join at any time: srun dask worker --scheduler-file FILE …
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-task=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=64G
#SBATCH --time=24:00:00
set -euo pipefail
scheduler="$PWD/scheduler-$SLURM_JOB_ID.json"
trap 'kill $(jobs -p) 2>/dev/null || true; rm -f "$scheduler"' EXIT
dask scheduler --scheduler-file "$scheduler" --no-dashboard --dashboard-address :0 &
srun dask worker --scheduler-file "$scheduler" --nthreads 8 --nworkers 1 --resources GPU=1 &
until [ -s "$scheduler" ]; do sleep 1; done
sleep 30 # until the first workers are there; the others join the run
dseg extract --images "$1" --out "$2" --scheduler "$scheduler" --resources GPU=1
