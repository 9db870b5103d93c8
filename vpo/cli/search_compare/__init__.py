"""`vpo search compare`: procedures and policies at one token budget with paired seeds, best-of-n always among them.

A ledger for each (policy, procedure, seed) holds all that was sampled, and every figure is read from the ledgers: a
stopped comparison goes on where it was, and nothing is sampled twice.
"""
