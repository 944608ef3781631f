import asyncio
import signal
import sys
from pathlib import Path

from deploy.local.servers import LAST_WILL


async def _will(text: str) -> asyncio.subprocess.Process:
    will = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", str(LAST_WILL)), stdin=asyncio.subprocess.PIPE
    )
    assert will.stdin is not None
    will.stdin.write(text.encode())
    await will.stdin.drain()
    return will


async def test_servers_get_their_signal_when_the_supervisor_is_gone(tmp_path: Path) -> None:
    server = await asyncio.create_subprocess_exec("sleep", "60")
    (tmp_path / "server.pid").write_text(f"{server.pid}\nmore of a postmaster.pid\n")
    will = await _will(f"SIGINT {tmp_path / 'server.pid'}\n")
    await asyncio.sleep(0.2)
    assert server.returncode is None

    assert will.stdin is not None
    will.stdin.close()

    assert await asyncio.wait_for(server.wait(), 10) == -signal.SIGINT
    assert await will.wait() == 0


async def test_nobody_is_signalled_when_the_server_ended_before(tmp_path: Path) -> None:
    will = await _will(f"SIGTERM {tmp_path / 'gone.pid'}\n")
    assert will.stdin is not None
    will.stdin.close()
    assert await asyncio.wait_for(will.wait(), 10) == 0
