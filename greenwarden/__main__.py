"""``python -m greenwarden``."""

from greenwarden.cli import main

main()
