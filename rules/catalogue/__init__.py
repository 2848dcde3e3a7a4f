"""The catalogue of rules: one page per rule, and the settings a site may give them."""

from __future__ import annotations

from rules.catalogue.contents import CATALOGUE
from rules.catalogue.page import Condition, Parameter, Rule, Text, Values
from rules.catalogue.settings import RuleSettings, check_rules, is_known, read_settings, rule_of

__all__ = [
    "CATALOGUE", "Condition", "Parameter", "Rule", "RuleSettings", "Text", "Values", "check_rules", "is_known",
    "read_settings", "rule_of",
]  # fmt: skip
