"""The guide's generated pages: options from the commands, schemas from the declared records."""
