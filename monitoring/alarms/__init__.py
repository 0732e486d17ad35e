"""Alarms: what the monitor found wrong, told to people.

Reading order: `lasting` (the table), `conditions` (what is wrong now), `webhook` (one delivery), `sender`
(all of them).
"""
