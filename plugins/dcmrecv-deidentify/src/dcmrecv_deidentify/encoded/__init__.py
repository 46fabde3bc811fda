"""Data elements as bytes.

elements          their headers, items of sequences
values            dummies, and which values may stay
character_sets    which may be declared
"""
