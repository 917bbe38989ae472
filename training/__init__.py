"""Jobs: dataset at cutoffs -> fit -> evaluate on the last, untouched window -> record -> gate -> promote."""
