"""`python -m an_ref` is the command `an-ref`."""

from .cli import app

if __name__ == "__main__":
    app(prog_name="python -m an_ref")
