"""What operators and clerks decide about: rejections, conflicts and dead letters. Topics are read as the auditor."""
