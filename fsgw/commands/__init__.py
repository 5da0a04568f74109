"""The commands, by subject: each parses its arguments, runs one of `fsgw.admin`, and shows it."""
