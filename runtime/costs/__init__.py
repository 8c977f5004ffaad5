"""What everything costs: the live feed is booked, history pays through its purses.

`shares` spreads a subscription over a month's trading dates, `streaming` books it or what was
received, `degrading` says what a used-up budget stops, `meter` does both while streams run,
`report` adds the ledger up into `figures`, and `words` and `plot` show them.
"""
