"""Looks at code without running it: a skill's own files, and what packages run by themselves.

Python is looked at by its syntax tree, the rest by rules on text.

A static look is no proof. It asks a person where code does what skills seldom need, and denies what none
does.
"""
