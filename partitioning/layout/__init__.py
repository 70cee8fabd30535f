"""The on-disk contract: paths, properties, partition map, manifest. Read and written only here."""
