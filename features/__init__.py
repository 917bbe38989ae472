"""Raw tables -> point-in-time features -> Feast. One feature view is one file."""
