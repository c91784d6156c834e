"""How far everything is: `mesh wait`, `mesh status`. Asked of the servers, so that it holds wherever workers run."""
