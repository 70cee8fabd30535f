"""Geometry on the sphere: regions, HEALPix coverage, exact tests."""
