"""The stages of a build, in the order that `partitioning.pipeline` runs them."""
