"""What the checks of quality look at, as small tables of measures; nothing here judges them."""
