"""A scripted model for the tests: a function from the request to an answer, an exception, or a reply."""

import asyncio

from evalkit.core.types import Reply, Usage


class Model:
    """Keeps what was asked; errors are raised."""

    name = "scripted/model"

    def __init__(self, script):
        self.script = script
        self.asked = []
        self.closed = False

    async def generate(self, request):
        self.asked.append(request)
        await asyncio.sleep(0)
        said = self.script(request) if callable(self.script) else self.script
        if isinstance(said, Exception):
            raise said
        return said if isinstance(said, Reply) else Reply(said, usage=Usage(prompt_tokens=100, completion_tokens=20))

    async def aclose(self):
        self.closed = True
