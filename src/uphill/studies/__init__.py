"""Studies over many trainings or many estimators: variance, reproductions.

They use the same training and evaluation as `uphill.train`, and don't change how it learns.
"""
