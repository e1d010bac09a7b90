"""Reports: what a run's result and record say, as text for a terminal, a browser, a CI server and a pull request.

Data in, text out. No number without its unit, and no colour without a mark or a word that says the same.
"""
