"""Workers at their limits: stopped, frozen or misconfigured servers, large backlogs, restored state."""
