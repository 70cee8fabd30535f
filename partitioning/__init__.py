"""Offline partitioner: HEALPix-shards sky catalogs into Parquet in the HATS layout."""
