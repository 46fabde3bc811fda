"""What is to become of each element.

actions         what can become of one
table           PS3.15 table E.1-1 under the profile and the options chosen, from dicom-anonymizer and `data/`
unlisted        elements that the table does not name
safe_private    private elements that may stay
rules           the rules of a site
plans           all of these: one plan for each element
"""
