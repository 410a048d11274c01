"""The run directory as data: the contents of each file, and how it is written and read.

Nothing is trained, evaluated, drawn or shown here: `sessions` writes runs, `views` shows them.
"""
