"""The page of problem types: a section for each Reason, which `type` of a problem document names (RFC 9457 3.1.1)."""

from html import escape
from itertools import groupby
from typing import Final

from gateway.errors import Reason
from gateway.frontends.http.problems import STATUSES, TITLES
from gateway.model.sentences import SENTENCES

_HEAD: Final = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Problem types of the Sealgate API</title>
<link rel="stylesheet" href="/v1/docs/page.css">
<body class="plain">
<header class="top"><a class="brand" href="/v1/docs">Sealgate API</a><span class="where">Problem types</span></header>
<main>
<h1>Problem types</h1>
<p>An answer with status 400 or higher is a problem document (RFC 9457). Its <code>type</code> names a section of this
page. <code>reason</code> is the same name for programs, <code>detail</code> says what to do, and <code>incident</code>
finds the line in the log of the gateway.</p>
"""


def problem_page() -> str:
    """The whole page."""
    reasons = sorted((one for one in Reason if one is not Reason.USAGE), key=lambda one: one.value)
    families = [(family, list(some)) for family, some in groupby(reasons, key=lambda one: one.family)]
    links = " ".join(f'<a href="#family-{family}">{family}</a>' for family, _ in families)
    sections = "".join(f'<section class="family" id="family-{family}"><h2>{family}</h2>\n'
                       f'{"".join(map(_section, some))}</section>\n' for family, some in families)
    return f'{_HEAD}<nav class="families" aria-label="Families">{links}</nav>\n{sections}</main>\n</html>\n'


def _section(reason: Reason) -> str:
    sentence = SENTENCES[reason]
    status = STATUSES.get(reason)
    known = f"{status} {TITLES[status]}" if status else "409; or 503 with Retry-After: repeat the request"
    return (f'<article class="problem" id="{reason}"><h3><code>{reason}</code></h3>\n'
            f"<p>{escape(sentence.what)} {escape(sentence.remedy)}</p>\n"
            f'<p class="quiet">Status {known}</p></article>\n')
