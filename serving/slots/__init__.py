"""Slots: the places of a shop where lists are shown, and what each of them shows.

Reading order: slot, slots_file, defaults, slot_book, request.
"""
