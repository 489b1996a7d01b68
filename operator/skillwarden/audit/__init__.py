"""The audit trail: what was decided and done, in an order that cannot be changed without being seen."""
