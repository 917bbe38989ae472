"""What benchmarks/offers.py measures: one data set a file."""
