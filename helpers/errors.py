"""The one exception of the course: a line that names what is wrong and what to do about it."""


class CourseError(Exception):
    """Bad input, a missing or damaged file, a full disk. The message is one line: what, where, and the remedy."""
