"""How much algorithms depend on tuning, measured over several environments."""
