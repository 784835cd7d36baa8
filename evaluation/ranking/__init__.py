"""How good rankings are, and to whom: accuracy of lists, of scores, and who gets exposure."""
