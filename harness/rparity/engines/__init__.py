"""Who answers: R, this package's own implementation, and others, behind one Protocol."""
