"""Is the place where tasks live as it must be? `boilermaker-fn doctor` looks, disturbs nobody, and names remedies."""
