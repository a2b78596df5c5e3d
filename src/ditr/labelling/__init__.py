"""Classes of one's own from a few clicks: what a scene shows of each small cube, a classifier, banks, objects."""
