"""Reading a manifest so that nothing in it is overlooked."""


class NotKnown(Exception):
    """Something that these tests would not do as a kubelet does."""


class Fields:
    """A map of which every key has to be taken."""

    def __init__(self, values, what):
        self._values = dict(values)
        self._what = what

    def __contains__(self, key):
        return key in self._values

    def take(self, key, *default):
        """The value of a key; without a default it has to be there."""
        if key not in self._values and not default:
            raise NotKnown(f"{self._what} has no {key}")
        return self._values.pop(key, *default)

    def expect(self, key, *allowed):
        """Takes what has no effect here as long as it is one of these."""
        value = self.take(key, allowed[0])
        if value not in allowed:
            raise NotKnown(f"{self._what}: {key} is {value!r}, not one of {allowed}")

    def ignore(self, *keys):
        """For whoever places pods and pulls images, not for a container runtime."""
        for key in keys:
            self._values.pop(key, None)

    def end(self):
        if self._values:
            raise NotKnown(f"{self._what}: nothing here knows {', '.join(sorted(self._values))}")
