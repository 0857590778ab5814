"""`ganrun augment-study`: do drawn pictures help a classifier?"""
