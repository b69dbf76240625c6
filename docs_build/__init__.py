"""What the documentation is made with, beside its pages: it is not part of the library."""
