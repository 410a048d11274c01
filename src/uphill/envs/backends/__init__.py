"""What runs an environment that is no compiled world: Gymnasium and EnvPool."""
