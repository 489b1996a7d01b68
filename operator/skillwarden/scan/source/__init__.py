"""Looks at a skill's own files without running them: Python by its syntax tree, the rest by rules on text.

A static look is no proof. It asks a person where code does what skills seldom need, and denies what none
does.
"""
