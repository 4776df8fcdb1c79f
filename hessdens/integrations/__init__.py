"""Callbacks for training frameworks, each imported by name, since it needs that framework."""
