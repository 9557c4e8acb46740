#!/bin/bash
# One machine with several GPUs: a worker a GPU (pip install dask-cuda).
#   ./eight-gpus.sh /data/photos /data/feats.zarr
set -euo pipefail
scheduler=$(mktemp -d)/scheduler.json
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
dask scheduler --host 127.0.0.1 --scheduler-file "$scheduler" --no-dashboard --dashboard-address :0 &
until [ -s "$scheduler" ]; do sleep 1; done
dask cuda worker --scheduler-file "$scheduler" --nthreads 1 --resources GPU=1 &
sleep 30 # until the first workers are there; the others join the run
dseg extract --images "$1" --out "$2" --scheduler "$scheduler" --resources GPU=1
