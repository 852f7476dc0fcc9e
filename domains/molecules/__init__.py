"""Molecules: generating and measuring them, and what its models share: SMILES, files, data, properties, drawings.

Everything computed here is computed: a property of a drawn structure, not activity, not safety.
"""
