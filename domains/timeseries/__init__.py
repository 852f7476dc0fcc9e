"""Time series: forecasting, and what its models share: tables, calendars, baselines, bands and scores."""
