"""What annotation tools save of photographs, one file per format, as images of labels."""
