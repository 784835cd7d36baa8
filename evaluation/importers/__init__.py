"""Other tools' logs, read into recloop's own records; errors name the line that can't be read."""
