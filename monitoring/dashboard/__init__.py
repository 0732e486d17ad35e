"""The dashboard's pages, composed from stored figures.

Reading order: `show` (which page when), `series` (the stored windows), `overview` and the other pages, `surroundings`
(what SQL does not know: processes, Kafka, dead letters).
"""
