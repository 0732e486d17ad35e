"""Simulation: a shop in fast time, to compare policies.

Reading order: `world` and `injections` (what shoppers want), `latent_world` and `future_world` (two worlds),
`attention` and `traffic` (what shoppers do), `shop` (the real loop in this process), `policies`, `run`, `figures`,
`bad_champion`.
"""
