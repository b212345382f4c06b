"""What every test of something drawn uses."""

from tests.support.idle import patient_by_the_loop

__all__ = ["patient_by_the_loop"]
