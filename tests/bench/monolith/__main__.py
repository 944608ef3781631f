"""Starts the monolith: `python -m tests.bench.monolith`."""

import uvicorn

from tests.bench.monolith.app import Settings, make_app

if __name__ == "__main__":
    told = Settings.model_validate({})
    uvicorn.run(
        make_app(told),
        host="127.0.0.1",
        port=told.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        proxy_headers=False,
        log_level="warning",
        timeout_keep_alive=75,
    )
