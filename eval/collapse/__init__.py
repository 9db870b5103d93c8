"""The collapse monitor: formats, diversity and coverage against the base model, look after look, with alarms."""
