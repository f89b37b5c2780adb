"""The chaos run: the whole service under kills and faults, judged by what both ends really received."""
