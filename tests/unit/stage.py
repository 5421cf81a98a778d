"""A process that another one starts, with a span in it."""

from pipeline.trace import flush, span

if __name__ == "__main__":
    with span("stage"):
        pass
    flush()
