"""Cities, agencies, accounts and faulty files through real servers, workers and commands."""
