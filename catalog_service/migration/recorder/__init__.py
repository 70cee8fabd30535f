"""Record what a live catalog answers: tables, queries with their results and times, fingerprints.

This directory imports itself and the standard library only (and pymysql when the source speaks MySQL's protocol), so
that it can be copied to a login node and run there: ``python3.11 recorder mysql://user@host:4040/db --out DIR``.
"""
