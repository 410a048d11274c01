"""The run directory as data: what each file in it holds, how it is written and read.

Nothing is trained, evaluated, drawn or shown here: `sessions` writes runs, `views` shows them.
"""
