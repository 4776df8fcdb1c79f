"""The experiments of Orhan & Pitkow (2018), Skip Connections Eliminate Singularities, one module a figure."""
