"""Many settings of one algorithm, each over several seeds: trained, compared, drawn."""
