"""Work that a Dask cluster's processes share: who they are, what they are given, what returns."""
