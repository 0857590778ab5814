"""`ganrun augment-study`: do generated pictures help a classifier?"""
