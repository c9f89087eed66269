"""Laws of adding experts: none of numbers; tests/experts/test_adding.py has what holds of the tree."""

ALONE = {"add_experts": "moves arrays from two trees into one; both sides use the tree it makes"}
