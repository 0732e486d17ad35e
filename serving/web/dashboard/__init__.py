"""The dashboard of the operator at `/dashboard/`: what happened, drawn from figures that the monitor keeps in Redis.

Read `access` (who may look), `pages` (the monitor's pages), `drawn` and `charts` (how they are drawn), then
`shoppers`, `catalogue`, `errands` and `reports`. No module here imports SQL or pandas.
"""
