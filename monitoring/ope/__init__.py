"""Off-policy evaluation: what another model or setting would have had, from the lists that were shown.

Reading order: `logs` (what was shown), `target` (what the other one would have shown), `rewards` (a model of clicks),
`estimators` (the figures), `open_bandit` (a public log for comparison).
"""
