"""Query texts to trees, trees to SQL: parse, passes, emit."""
