"""The edge's OpenAPI 3.1 document, made from the protos, their comments and rules, and mesh/policy.yaml."""
