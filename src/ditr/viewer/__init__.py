"""The page in the browser: a scene in 3D with its photographs, what is known of its points, and labels by clicks."""
