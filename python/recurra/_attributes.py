"""What can be set has an effect; all else is an AttributeError."""

from __future__ import annotations


class Attributes:
    """A class whose instances take no attributes but those they have.

    That is so for the package's own classes, where another name is a slip that would have no effect. A class of
    somebody else's, derived from one of them, takes any; so does a name that begins with an underscore.
    """

    @classmethod
    def _is_own(cls) -> bool:
        """Whether it is a class of the package's."""
        return cls.__module__.startswith(f"{__package__}.")

    def _attribute_names(self) -> set[str]:
        """Those that the class doesn't show."""
        return set()

    def __setattr__(self, name: str, value: object) -> None:
        kind = type(self)
        if not (name.startswith("_") or hasattr(kind, name) or not kind._is_own() or name in self._attribute_names()):
            import difflib

            public = {known for known in dir(self) if not known.startswith("_")} | self._attribute_names()
            near = difflib.get_close_matches(name, sorted(public), 1)
            hint = f": did you mean {near[0]}?" if near else ""
            raise AttributeError(f"{name}: expected an attribute that {kind.__name__} has, got an unknown one{hint}")
        super().__setattr__(name, value)
