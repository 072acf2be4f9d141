"""Everything shown: tables, plots, contact sheets, pages, Markdown."""
