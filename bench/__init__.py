"""How fast is it, next to its peers? Every number is a ratio to something measured in the same run."""
