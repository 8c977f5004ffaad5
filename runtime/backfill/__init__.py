"""Holes close by themselves: found, priced, fetched, merged, and what they touched made anew.

`holes` says what is missing and in which order it is worth filling, `requests` keeps how far each
has come, `fetch` gets the records, `segment` puts those that are new into the archive, `recompute`
makes windows, bars and late signals of them, and `worker` leads a hole through all of it.
"""
