"""What several tests need: servers, sources, stores. Fixtures reach tests by ``conftest.py``."""
