"""What knows neither images nor texts: checks, progress, drawing, intervals, regression."""
