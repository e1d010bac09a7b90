"""Makes the modules beside it (strategies, stories, corpus) importable by every unit test."""
