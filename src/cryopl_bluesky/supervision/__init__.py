"""What watches over a session: the safe state, whatever ended a plan."""
