"""Many settings of one algorithm, each over several seeds: trained, compared, drawn.

How settings are chosen is the affair of who asks: a grid, a search (`tuning`), a study.
"""
