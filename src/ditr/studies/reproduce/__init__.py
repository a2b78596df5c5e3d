"""The paper's tables in miniature: the same comparisons on procedural worlds, with several seeds and a verdict each."""
