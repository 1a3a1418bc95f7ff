"""The files that users have, one module for each layout, and the rule that says which of them is taken.

images.py: from image files to one tensor. pt.py: the DENEB authors' `.pt` files. disen.py: the folders of the Disen
authors. choice.py: which source wins where several are there.
"""
