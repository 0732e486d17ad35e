"""`python -m sagestream`: the same as the command `sagestream`."""

from sagestream.cli import main

main()
