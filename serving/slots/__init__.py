"""Slots: the places of a shop where lists are shown, and what each of them shows.

Reading order: slot, slots_file, defaults, slot_book, request, visit, draft, ranked, personal, item_lists, shop_wide,
kinds, fill, explained.
"""
