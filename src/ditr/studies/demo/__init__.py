"""The demo: rooms, trainings side by side, controls, a table and a page."""
