"""What was kept aside for somebody to look at: refused hand-overs, conflicts, dead letters. Read as the auditor."""
