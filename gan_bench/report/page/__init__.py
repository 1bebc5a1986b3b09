"""The report of stored results: one HTML file without external parts, readable without JavaScript.

A module for each section builds its data, a template in `templates/` lays them out. Charts are SVG. `page.js` sorts,
filters and moves through samples, and `page.css` has all colours. Nothing here imports torch or matplotlib.
"""
