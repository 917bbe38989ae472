"""Whether the shop's data can be trusted: freshness, completeness, duplicates, outliers, volume, imports."""
