"""The search for settings: proposals by Optuna, each trained over several seeds."""
