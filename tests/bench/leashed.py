"""A command that ends with us, whatever ends us, and never runs longer than it may."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.local.footing import clean_environment
from deploy.local.startup import StackFailed
from deploy.local.supervisor import LEASH


async def run(
    command: Sequence[str | Path],
    *,
    within_s: float,
    folder: Path | None = None,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
) -> bytes:
    """What the command writes to stdout; `environment` is added to ours. Errors: StackFailed with its last words."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), *map(str, command)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        env={**clean_environment(), **(environment or {})},
    )
    name = Path(str(command[0])).name
    try:
        async with asyncio.timeout(within_s):
            stdout, stderr = await process.communicate(stdin)
    except TimeoutError:
        raise StackFailed(f"{name} had not ended after {within_s:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        last = stderr.decode(errors="replace").strip()[-2000:]
        raise StackFailed(f"{name} ended with {process.returncode}:\n{last}")
    return stdout
