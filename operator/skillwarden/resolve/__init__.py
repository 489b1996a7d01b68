"""From what a Skill declares to exact artefacts: intake refuses, the resolvers lock."""
