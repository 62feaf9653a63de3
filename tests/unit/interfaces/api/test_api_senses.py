"""Search by photo and by voice over the API, with a real encoder of images and a real listener; items' pictures."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tests.unit.encoders.files import DATA, wav
from tests.unit.interfaces.api.conftest import Shop
from tests.unit.shops import item

from endcap import wiring
from endcap.config import Home, load_config
from endcap.encoders.packing import packed
from endcap.encoders.registry import open_speech
from endcap.errors import InvalidFieldError
from endcap.events.log import SERVED_KEY, to_entry, to_record
from endcap.events.served import Served
from endcap.interfaces.api.app import create_app
from endcap.interfaces.api.auth import Keys
from endcap.interfaces.api.server import ServerOptions, create_context
from endcap.serving.engine import Request

PICTURES = ("asparagus", "banana", "carrots", "lime", "dress-1", "dress-2", "shoes-1", "shoes-2", "hat-1")
MENU = ("Iced mocha", "Latte", "Double shot", "Brown sugar")
ORDER = b64encode((DATA / "iced-mocha.wav").read_bytes()).decode()


def picture(name: str) -> bytes:
    return (DATA / "pictures" / f"{name}.jpg").read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image folder, with what must not leave it or be shown."""
    made = tmp_path_factory.mktemp("shown") / "pictures"
    shutil.copytree(DATA / "pictures", made)
    (made.parent / "secret.jpg").write_bytes(picture("lime"))
    (made / "link.jpg").symlink_to(made.parent / "secret.jpg")
    (made / "page.jpg").write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
    (made / "huge.jpg").touch()
    os.truncate(made / "huge.jpg", 20_000_001)
    return made


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory, image_folder: Path, folder: Path) -> Iterator[Shop]:
    """A shop of pictures and drinks that sees and hears."""
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(image_folder, Home(home).encoders / image_folder.name)
    lines = (f'image = "{image_folder.name}"', 'speech = "pocketsphinx"', f'image_folder = "{folder}"')
    (home / "config.toml").write_text("\n".join(("[encode]", *lines)))
    config = load_config(home / "config.toml")
    log = wiring.open_log(home)
    shown = [item(name, name.partition("-")[0], image=f"{name}.jpg") for name in PICTURES]
    log.append([to_record(one, 1) for one in (*shown, *[item(title, title) for title in MENU])])
    log.close()
    with asyncio.Runner() as runner:
        live = wiring.open_live(home, config)
        runner.run(live.start())
        options = ServerOptions(home, config.serve, Keys.parse(""), speech=open_speech(home, config), pictures=folder)
        context = create_context(live, options)
        transport = httpx.ASGITransport(app=create_app(context))
        shop = Shop(runner, context, httpx.AsyncClient(transport=transport, base_url="http://localhost"))
        yield shop
        runner.run(shop.client.aclose())
        context.senses.close()
        runner.run(live.stop())


def search(shop: Shop, **asked: Any) -> httpx.Response:
    return shop.call("POST", "/v1/recommend", json={"recipe": "search", **asked})


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [one["item_id"] for one in answer.json()["items"]]


def refused(answer: httpx.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error.get("field", ""), error["message"]


def test_the_page_is_told_what_the_shop_can_be_asked_with(seeing: Shop) -> None:
    assert seeing.call("GET", "/health/live").json() == {"status": "live", "senses": ["image", "audio"]}


def test_openapi_describes_them(seeing: Shop) -> None:
    asked = seeing.call("GET", "/openapi.json").json()["components"]["schemas"]["RecommendRequest"]["properties"]
    assert "JPEG" in str(asked["image"])
    assert "At most 30 seconds of speech" in str(asked["audio"])


@pytest.mark.parametrize("before", ["", "data:image/jpeg;base64,", "DATA:;base64,"])
def test_a_photo_finds_what_looks_like_it(seeing: Shop, before: str) -> None:
    photo = before + b64encode(picture("dress-3")).decode()
    answer = search(seeing, image=photo, explain=True)
    assert ids(answer)[0] == "dress-2"
    first = answer.json()["items"][0]
    assert first["reason"] == "Looks like your photo"
    assert first["parts"] == {"photo": pytest.approx(first["score"])}
    assert "query" not in answer.json()


def test_words_go_with_a_photo(seeing: Shop) -> None:
    photo = b64encode(picture("dress-3")).decode()
    found = ids(search(seeing, image=photo, query="brown sugar"))
    assert {"dress-1", "Brown sugar"} <= set(found)


def test_what_is_said_is_searched_for_and_given_back(seeing: Shop) -> None:
    answer = search(seeing, audio=ORDER)
    assert "mocha" in answer.json()["query"].lower()
    assert "Iced mocha" in ids(answer)
    typed = search(seeing, query=answer.json()["query"])
    assert ids(typed) == ids(answer)


def test_the_log_keeps_the_vector_and_nothing_else_and_why_makes_the_list_again(seeing: Shop) -> None:
    image = picture("dress-3")
    answer = search(seeing, image=b64encode(image).decode(), visitor_id="v1")
    shown = answer.json()["request_id"]
    kept = _served(seeing, shown)
    images = seeing.context.live.engine.contents.reading.images
    assert images is not None
    assert kept.asked == {"recipe": "search", "visitor_id": "v1", "image": packed(images.query(image))}
    why = seeing.call("GET", f"/v1/why?request_id={shown}&item_id=dress-1").json()
    assert why["same"] is True
    assert why["items"] == ids(answer)
    said = search(seeing, audio=ORDER, visitor_id="v1").json()
    assert _served(seeing, said["request_id"]).asked == {
        "recipe": "search",
        "visitor_id": "v1",
        "query": said["query"],
    }
    export = seeing.call("GET", "/v1/users/v1/export?kind=visitor").text
    assert str(kept.asked["image"]) in export
    erased = seeing.call("DELETE", "/v1/users/v1?kind=visitor")
    assert erased.status_code == 200, erased.text
    assert seeing.call("GET", f"/v1/why?request_id={shown}&item_id=dress-1").status_code == 404


def _served(shop: Shop, request_id: str) -> Served:
    """What the log says of the list, once it is there."""
    log = wiring.open_log(shop.context.home)
    try:
        until = time.monotonic() + 20
        while (found := log.find(SERVED_KEY + request_id)) is None:
            assert time.monotonic() < until
            shop.runner.run(asyncio.sleep(0.01))
    finally:
        log.close()
    body = to_entry(*found).body
    assert isinstance(body, Served)
    return body


def test_a_vector_of_another_encoder_is_not_compared(seeing: Shop) -> None:
    other = Request("search", image=packed(np.ones(16, np.float32)))
    with pytest.raises(InvalidFieldError, match="the image was read by another encoder than serves now: send it again"):
        seeing.context.live.engine.recommend(other, 1)


@pytest.mark.parametrize(
    ("asked", "field", "message"),
    [
        ({"image": "dress!"}, "image", "image is no base64"),
        ({"audio": "ключ"}, "audio", "audio is no base64"),
        ({"image": "data:image/jpeg"}, "image", "the image is empty: send the bytes of a picture"),
        ({"image": b64encode(b"no picture").decode()}, "image", "in no format that is read here"),
        ({"image": b64encode(picture("lime")[:500]).decode()}, "image", "damaged or cut off"),
        ({"audio": b64encode(b"no sound").decode()}, "audio", "in no format that is read here"),
        ({"audio": b64encode(wav(np.zeros(16_000))).decode()}, "audio", "nothing is said in the audio"),
        ({"recipe": "for-you", "image": "AAAA"}, "image", "image goes with the recipe 'search', not 'for-you'"),
        ({"recipe": "page", "audio": "AAAA"}, "audio", "audio goes with the recipe 'search', not 'page'"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(seeing: Shop, asked: dict[str, str], field: str, message: str) -> None:
    status, named, said = refused(search(seeing, **asked))
    assert (status, named) == (400, field)
    assert message in said


def test_a_shop_that_sees_and_hears_nothing_says_what_to_set(shop: Shop) -> None:
    status, field, said = refused(search(shop, image="AAAA"))
    assert (status, field, "set encode.image" in said) == (400, "image", True)
    status, field, said = refused(search(shop, audio="AAAA"))
    assert (status, field, "set encode.speech" in said) == (400, "audio", True)


def test_a_picture_is_shown_and_not_sent_twice(seeing: Shop) -> None:
    answer = seeing.call("GET", "/v1/item-images/dress-1")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert answer.content == picture("dress-1")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    again = seeing.call("GET", "/v1/item-images/dress-1", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("../secret.jpg", "leads out of the image folder"),
        ("/etc/passwd", "leads out of the image folder"),
        ("link.jpg", "leads out of the image folder"),
        ("gone.jpg", "no such file"),
        (".", "no such file"),
        ("huge.jpg", "more than 20,000,000 bytes"),
        ("page.jpg", "is not shown: give a JPEG, PNG, GIF, WebP or AVIF file"),
        ("https://elsewhere.example/a.jpg", "with a picture in the image folder"),
        (None, "with a picture in the image folder"),
    ],
)
def test_nothing_but_pictures_of_the_folder_is_shown(seeing: Shop, image: str | None, message: str) -> None:
    put = seeing.call("PUT", "/v1/items/other", json={"title": "Other", "image": image})
    assert put.status_code == 200, put.text
    answer = seeing.call("GET", "/v1/item-images/other")
    assert answer.status_code == 404
    assert message in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBP", "image/webp"),
        (b"\x00\x00\x00\x20ftypavif", "image/avif"),
    ],
)
def test_the_type_is_that_of_the_file_whatever_its_name(seeing: Shop, folder: Path, start: bytes, kind: str) -> None:
    (folder / "named.txt").write_bytes(start + bytes(20))
    seeing.call("PUT", "/v1/items/other", json={"title": "Other", "image": "named.txt"})
    assert seeing.call("GET", "/v1/item-images/other").headers["content-type"] == kind


def test_an_unknown_item_and_a_shop_without_an_image_folder_have_no_picture(seeing: Shop, shop: Shop) -> None:
    assert seeing.call("GET", "/v1/item-images/nobody").status_code == 404
    shop.call("PUT", "/v1/items/shown", json={"title": "Shown", "image": "a.jpg"})
    answer = shop.call("GET", "/v1/item-images/shown")
    assert answer.status_code == 404
    assert "encode.image_folder does not say" in answer.json()["error"]["message"]
