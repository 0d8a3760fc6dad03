"""How alarms are read from their sender, where it can be asked; one module here is one way."""
