"""Assignments: handed out as stubs, checked by laws, graded in a process of their own."""
