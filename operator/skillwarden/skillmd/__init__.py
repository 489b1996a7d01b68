"""A folder with a SKILL.md (the Agent Skills format), as it exists in the wild, as a Skill manifest."""
