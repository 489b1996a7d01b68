"""The rules of Skillwarden as pure values and functions: no I/O, no clock, no Kubernetes.

Everything here takes what was observed and returns what follows from it, so that each rule can be
tested from a table. Standard library and ``packaging`` only; import-linter holds that.
"""
