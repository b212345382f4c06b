"""How to call a publication, in the languages that clients are written in.

Every example makes the same request: `request_of` describes it, the examples are written from that description, and
what is checked (console/publishing/documentation.py) is that description sent through the gateway. The key is read
from ``$API_KEY``; no example has one in it.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pprint import pformat

from console.publishing.manifests import tenant_path
from console.publishing.probe import ClientRequest
from console.publishing.types import Publication, PublicationKind

_JSON = {"Content-Type": "application/json"}
_CHAT = "/v1/chat/completions"
_WIDTH = 100


@dataclass(frozen=True, slots=True)
class Example:
    """One way to make the request.

    id        ``curl``, ``openai``, ``httpx``, ``javascript``, ``go``
    language  as a fenced block of Markdown names it
    needs     what has to be there to run it
    """

    id: str
    title: str
    language: str
    needs: str
    text: str


def request_of(publication: Publication) -> ClientRequest:
    """What the examples send: a short chat completion, or one instance to predict.

    Nothing tells the shape of a traditional model's inputs: four numbers are a guess, and the check says whether it
    was a good one.
    """
    if publication.kind is PublicationKind.TRADITIONAL:
        path = f"{tenant_path(publication.tenant)}/v1/models/{publication.name}:predict"
        return ClientRequest("POST", path, {"instances": [[6.8, 2.8, 4.8, 1.4]]}, _JSON)
    messages = [{"role": "user", "content": "Say hello."}]
    return ClientRequest("POST", _CHAT, {"model": publication.name, "messages": messages, "max_tokens": 16}, _JSON)


def examples_of(publication: Publication, base: str) -> tuple[Example, ...]:
    """The examples, curl first. ``base`` is scheme and authority as clients write it."""
    request = request_of(publication)
    seconds = publication.limits.timeout_seconds
    found = [Example("curl", "curl", "sh", "curl 7.76 or newer", _curl(base, request))]
    if request.path == _CHAT:
        needs = "Python, pip install openai"
        found.append(Example("openai", "Python, openai", "python", needs, _openai(base, request, seconds)))
    found += [
        Example("httpx", "Python, httpx", "python", "Python, pip install httpx", _httpx(base, request, seconds)),
        Example("javascript", "JavaScript", "js", "Node 18 or newer, as example.mjs", _javascript(base, request)),
        Example("go", "Go", "go", "Go, as main.go", _go(base, request)),
    ]
    return tuple(found)


def _curl(base: str, request: ClientRequest) -> str:
    # --fail-with-body: the exit code tells of an error, and the body says which.
    lines = [
        f"curl --fail-with-body -X {request.method} {shlex.quote(base + request.path)}",
        '-H "Authorization: Bearer $API_KEY"',
        *(f"-H {shlex.quote(f'{name}: {value}')}" for name, value in request.headers.items()),
        f"-d {shlex.quote(json.dumps(request.body))}",
    ]
    return " \\\n  ".join(lines)


def _openai(base: str, request: ClientRequest, seconds: int) -> str:
    api = base + request.path.removesuffix("/chat/completions")
    assert request.body is not None
    arguments = "".join(f"    {name}={_python(value, 4)},\n" for name, value in request.body.items())
    return (
        "import os\n"
        "\n"
        "from openai import OpenAI\n"
        "\n"
        f'client = OpenAI(base_url={json.dumps(api)}, api_key=os.environ["API_KEY"], timeout={seconds})\n'
        "answer = client.chat.completions.create(\n"
        f"{arguments}"
        ")\n"
        "print(answer.choices[0].message.content)\n"
    )


def _httpx(base: str, request: ClientRequest, seconds: int) -> str:
    # httpx writes the content type of ``json=`` itself.
    return (
        "import os\n"
        "\n"
        "import httpx\n"
        "\n"
        "answer = httpx.request(\n"
        f"    {json.dumps(request.method)},\n"
        f"    {json.dumps(base + request.path)},\n"
        '    headers={"Authorization": f"Bearer {os.environ[\'API_KEY\']}"},\n'
        f"    json={_python(request.body, 4)},\n"
        f"    timeout={seconds},\n"
        ")\n"
        "answer.raise_for_status()\n"
        "print(answer.json())\n"
    )


def _javascript(base: str, request: ClientRequest) -> str:
    headers = "".join(f"    {json.dumps(name)}: {json.dumps(value)},\n" for name, value in request.headers.items())
    body = json.dumps(request.body, indent=2).replace("\n", "\n  ")
    return (
        f"const answer = await fetch({json.dumps(base + request.path)}, {{\n"
        f"  method: {json.dumps(request.method)},\n"
        "  headers: {\n"
        "    Authorization: `Bearer ${process.env.API_KEY}`,\n"
        f"{headers}"
        "  },\n"
        f"  body: JSON.stringify({body}),\n"
        "});\n"
        "if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);\n"
        "console.log(JSON.stringify(await answer.json(), null, 2));\n"
    )


def _go(base: str, request: ClientRequest) -> str:
    # A Go string takes what JSON escapes, so its literals are JSON's.
    headers = "".join(
        f"\trequest.Header.Set({json.dumps(name)}, {json.dumps(value)})\n" for name, value in request.headers.items()
    )
    return (
        "package main\n\n"
        'import (\n\t"fmt"\n\t"io"\n\t"log"\n\t"net/http"\n\t"os"\n\t"strings"\n)\n\n'
        "func main() {\n"
        f"\tbody := {json.dumps(json.dumps(request.body))}\n"
        f"\trequest, err := http.NewRequest({json.dumps(request.method)}, {json.dumps(base + request.path)}, "
        "strings.NewReader(body))\n"
        "\tif err != nil {\n\t\tlog.Fatal(err)\n\t}\n"
        '\trequest.Header.Set("Authorization", "Bearer "+os.Getenv("API_KEY"))\n'
        f"{headers}"
        "\tanswer, err := http.DefaultClient.Do(request)\n"
        "\tif err != nil {\n\t\tlog.Fatal(err)\n\t}\n"
        "\tdefer answer.Body.Close()\n"
        "\ttext, err := io.ReadAll(answer.Body)\n"
        "\tif err != nil {\n\t\tlog.Fatal(err)\n\t}\n"
        "\tif answer.StatusCode != http.StatusOK {\n\t\tlog.Fatal(answer.Status, string(text))\n\t}\n"
        "\tfmt.Println(string(text))\n"
        "}\n"
    )


def _python(value: object, indent: int) -> str:
    """A Python literal whose further lines stand below its first one."""
    return pformat(value, width=_WIDTH, sort_dicts=False).replace("\n", "\n" + " " * (indent + 1))
