"""Laws of adding experts: none of numbers; tests/experts/test_adding.py has what holds of the tree."""

WHY = "moves arrays from two trees into one; both sides use the tree it makes"
ALONE = {"add_experts": WHY, "widen": WHY}
