"""The `ifd` command: thin, over everything."""
