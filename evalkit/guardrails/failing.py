"""What happens when a guard cannot decide: fail modes, and a breaker that leaves a failing scorer alone for a while."""

import threading
import time
from collections.abc import Callable
from fnmatch import fnmatchcase

from evalkit.guardrails.policyset import Fail, GuardPolicy, Hook, Settings


def fail_mode(policy: GuardPolicy, hook: Hook, tool: str | None, settings: Settings) -> Fail:
    """The policy's own, else the hook's. Calls of tools that only read fail open, unless the policy says otherwise."""
    if policy.fail is not None:
        return policy.fail
    if hook == "tool_call" and tool is not None and any(fnmatchcase(tool, g) for g in settings.reads):
        return "open"
    return settings.fail.get(hook, "closed" if hook == "tool_call" else "open")


def closed_on_purpose(policy: GuardPolicy, hook: Hook, tool: str | None, settings: Settings) -> bool:
    """Whether somebody has written that nothing passes unchecked: the default of a hook is no such demand."""
    written = policy.fail is not None or hook in settings.fail
    return written and fail_mode(policy, hook, tool, settings) == "closed"


class Breaker:
    """After so many failures in a row everything is refused for a while; then one call tries again. Thread-safe."""

    def __init__(self, failures: int, cooldown_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._cooldown_s, self._clock = failures, cooldown_s, clock
        self._lock = threading.Lock()
        self._failures = 0
        self._until: float | None = None

    @property
    def open(self) -> bool:
        """Whether calls are refused now."""
        return self._until is not None and self._clock() < self._until

    def enter(self) -> bool:
        """Whether a call may be made. After the pause one caller is let through, the others wait for what it finds."""
        with self._lock:
            if self._until is None:
                return True
            now = self._clock()
            if now < self._until:
                return False
            self._until = now + self._cooldown_s
            return True

    def report(self, ok: bool) -> None:
        """How a call went."""
        with self._lock:
            if ok:
                self._failures, self._until = 0, None
                return
            self._failures += 1
            if self._failures >= self._most:
                self._until = self._clock() + self._cooldown_s
