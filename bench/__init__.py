"""Scripts that measure: one for each question, run by itself or by ``python -m bench``."""
