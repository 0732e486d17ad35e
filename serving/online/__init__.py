"""Online: rankings that no stored list can answer, by the model, in milliseconds. Reading order: protocol."""
