"""Sample to template, template to score."""
