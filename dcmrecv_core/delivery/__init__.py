"""What happens after an instance is stored: journal, store, deliveries, the clock of studies and series.

studies        a `Study` or `Series` made of its events
"""
