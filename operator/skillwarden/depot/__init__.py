"""The depot: the one place that keeps artefacts, sources, inputs, locks and scan results, by digest.

It is a process of its own because a sandbox may reach it: a sandbox must never reach the package index
(DESIGN 5), and the index's credentials must never be where untrusted code runs.
"""
