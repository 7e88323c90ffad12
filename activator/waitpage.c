#include "activator/waitpage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "activator/http/fields.h"
#include "common/strbuf.h"

const char waitpage_fields[] = "Content-Type: text/html; charset=utf-8\r\n"
			       "Cache-Control: no-store\r\n"
			       "X-Robots-Tag: noindex\r\n"
			       "Vary: Accept, Sec-Fetch-Mode, Sec-Purpose, X-Activator-Page\r\n";

/* clang-format off */
const char waitpage_default[] =
"<!doctype html>\n"
"<html lang=\"en\">\n"
"<head>\n"
"<meta charset=\"utf-8\">\n"
"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
"<meta name=\"color-scheme\" content=\"light dark\">\n"
"<meta name=\"robots\" content=\"noindex\">\n"
"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
"script-src 'unsafe-inline'; connect-src 'self'; img-src data:\">\n"
"<link rel=\"icon\" href=\"data:,\">\n"
"<noscript><meta http-equiv=\"refresh\" content=\"{{retry_s}}\"></noscript>\n"
"<title>Starting {{host}}</title>\n"
"<style>\n"
":root { color-scheme: light dark; --ink: #1c2430; --soft: #566173; --ground: #fbfbfa;\n"
"        --line: #dfe3e8; --bar: #2463c4 }\n"
"@media (prefers-color-scheme: dark) {\n"
"  :root { --ink: #e8ebf0; --soft: #a7b0be; --ground: #14181f; --line: #323a46; --bar: #7fb0ff } }\n"
"* { box-sizing: border-box }\n"
"body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem;\n"
"       background: var(--ground); color: var(--ink);\n"
"       font: 1.0625rem/1.5 system-ui, -apple-system, \"Segoe UI\", Roboto, sans-serif }\n"
"main { width: 100%; max-width: 26rem }\n"
"h1 { margin: 0 0 .5rem; font-size: 1.375rem; line-height: 1.3; font-weight: 600;\n"
"     overflow-wrap: anywhere }\n"
"p { margin: .75rem 0 0; color: var(--soft); min-height: 1.5em }\n"
"progress { -webkit-appearance: none; appearance: none; display: block; width: 100%;\n"
"           height: .5rem; margin-top: 1.25rem; border: 0; border-radius: .25rem;\n"
"           overflow: hidden; background: var(--line); color: var(--bar) }\n"
"progress::-webkit-progress-bar { background: var(--line) }\n"
"progress::-webkit-progress-value { background: var(--bar); border-radius: .25rem }\n"
"progress::-moz-progress-bar { background: var(--bar); border-radius: .25rem }\n"
"@media (prefers-reduced-motion: no-preference) {\n"
"  progress::-webkit-progress-value { transition: width .3s linear } }\n"
"</style>\n"
"</head>\n"
"<body>\n"
"<main>\n"
"<h1>{{host}} is starting</h1>\n"
"<div id=\"lead\">It was paused while nobody used it. This page opens by itself as soon as it is ready.</div>\n"
"<progress id=\"bar\" max=\"100\" aria-label=\"Start-up\"></progress>\n"
"<p id=\"text\" role=\"status\" aria-live=\"polite\" data-held=\"{{held_back}}\">{{expected}}</p>\n"
"</main>\n"
"<script>\n"
"(function () {\n"
"  var began = Date.now() - {{elapsed_ms}}, expected = {{expected_ms}}, tries = 0;\n"
"  var late = expected ? 2 * expected + 2000 : 5000;\n"
"  var bar = document.getElementById('bar'), text = document.getElementById('text');\n"
"  function draw() {\n"
"    var t = Date.now() - began;\n"
"    if (text.dataset.held) bar.removeAttribute('value');\n"
"    else bar.value = 97 * (1 - Math.exp(-1.6 * t / (expected || 8000)));\n"
"    if (t > late) { late = t + 5000; look(); }\n"
"  }\n"
"  function look() {\n"
"    fetch(location.href, { headers: { 'x-activator-page': 'words' }, cache: 'no-store',\n"
"                           redirect: 'manual', credentials: 'same-origin' }).then(function (r) {\n"
"      return r.headers.get('x-activator-reason') === 'waiting_page' ? r.text() : '';\n"
"    }).then(function (page) {\n"
"      var p = new DOMParser().parseFromString(page, 'text/html').getElementById('text');\n"
"      if (!p) return;\n"
"      text.dataset.held = p.dataset.held;\n"
"      text.textContent = p.dataset.held || !expected ? p.textContent\n"
"        : 'This takes longer than usual. Still waiting.';\n"
"    }, function () {});\n"
"  }\n"
"  function later(s, words) {\n"
"    if (words) text.textContent = words;\n"
"    setTimeout(ask, 1000 * Math.min(Math.max(s, 1), 60));\n"
"  }\n"
"  function ask() {\n"
"    fetch(location.href, { method: 'HEAD', cache: 'no-store', redirect: 'manual',\n"
"                           credentials: 'same-origin' }).then(function (r) {\n"
"      var why = r.headers.get('x-activator-reason'), s = +r.headers.get('retry-after') || 2;\n"
"      if (!why) { bar.value = 100; location.reload(); return; }\n"
"      if (why === 'activation_failed')\n"
"        later(s, 'It cannot be started at the moment. Trying again in ' + s + ' s.');\n"
"      else\n"
"        later(s);\n"
"    }, function () { tries++; later(Math.min(1 << tries, 15), 'No connection. Trying again.'); });\n"
"  }\n"
"  draw();\n"
"  setInterval(draw, 250);\n"
"  ask();\n"
"}());\n"
"</script>\n"
"</body>\n"
"</html>\n";
/* clang-format on */

/* --- which requests get it --- */

/* The quality value of one element of Accept, as in "text/html;q=0.9", in thousandths. */
static int
quality(const char *s, size_t n)
{
	size_t i;
	int q = 0, digits = 0;

	for (i = 0; i + 2 < n; i++)
		if (s[i] == ';' || s[i] == ' ') {
			if ((s[i + 1] == 'q' || s[i + 1] == 'Q') && s[i + 2] == '=')
				break;
		}
	if (i + 3 >= n || s[i + 3] == '1')
		return 1000;
	for (i += 5; i < n && s[i] >= '0' && s[i] <= '9' && digits < 3; i++, digits++)
		q = q * 10 + (s[i] - '0');
	for (; digits < 3; digits++)
		q *= 10;
	return q;
}

/* The quality value of a media type that Accept names; 0: it does not. */
static int
accepts(const char *accept, size_t n, const char *type)
{
	const char *end = accept + n;

	while (accept < end) {
		const char *stop = memchr(accept, ',', (size_t)(end - accept));
		size_t type_n;

		if (stop == NULL)
			stop = end;
		while (accept < stop && (*accept == ' ' || *accept == '\t'))
			accept++;
		for (type_n = 0;
		     accept + type_n < stop && accept[type_n] != ';' && accept[type_n] != ' ';
		     type_n++)
			;
		if (field_is(accept, type_n, type))
			return quality(accept, (size_t)(stop - accept));
		accept = stop + 1;
	}
	return 0;
}

bool
waitpage_is_wanted(const char *method, size_t method_n,
		   const char *(*field)(void *ctx, const char *name, size_t *n), void *ctx)
{
	const char *mode, *accept;
	size_t n = 0;
	int html;

	if (method_n != 3 || memcmp(method, "GET", 3) != 0)
		return false;
	if (field(ctx, "sec-purpose", &n) != NULL || field(ctx, "upgrade", &n) != NULL)
		return false;
	if (field(ctx, "x-activator-page", &n) != NULL)
		return true;
	mode = field(ctx, "sec-fetch-mode", &n);
	if (mode != NULL)
		return field_is(mode, n, "navigate");
	if (field(ctx, "x-requested-with", &n) != NULL)
		return false;
	accept = field(ctx, "accept", &n);
	if (accept == NULL)
		return false;
	html = accepts(accept, n, "text/html");
	return html > 0 && html >= accepts(accept, n, "application/json");
}

/* --- the text --- */

static void
add_escaped(struct strbuf *out, const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		switch (s[i]) {
		case '&':
			strbuf_adds(out, "&amp;");
			break;
		case '<':
			strbuf_adds(out, "&lt;");
			break;
		case '>':
			strbuf_adds(out, "&gt;");
			break;
		case '"':
			strbuf_adds(out, "&quot;");
			break;
		case '\'':
			strbuf_adds(out, "&#39;");
			break;
		default:
			strbuf_add(out, (unsigned char)s[i] < 0x20 ? " " : &s[i], 1);
		}
	}
}

static void
add_expected(struct strbuf *out, const struct waitpage_view *v)
{
	int64_t s = (v->expected_ms + 999) / 1000;

	if (v->held_back != NULL) {
		strbuf_adds(out, "It has to wait for its turn: ");
		add_escaped(out, v->held_back, strlen(v->held_back));
		strbuf_adds(out, ".");
	} else if (s >= 90) {
		strbuf_addf(out, "This usually takes about %lld minutes.",
			    (long long)((s + 30) / 60));
	} else if (s > 0) {
		strbuf_addf(out, "This usually takes about %lld second%s.", (long long)s,
			    s == 1 ? "" : "s");
	}
}

/* False: there is no value of this name. */
static bool
add_value(struct strbuf *out, const char *name, size_t n, const struct waitpage_view *v)
{
	if (field_is(name, n, "service"))
		add_escaped(out, v->service, strlen(v->service));
	else if (field_is(name, n, "host"))
		add_escaped(out, v->host, v->host_n);
	else if (field_is(name, n, "expected_ms"))
		strbuf_addf(out, "%lld", (long long)v->expected_ms);
	else if (field_is(name, n, "elapsed_ms"))
		strbuf_addf(out, "%lld", (long long)v->elapsed_ms);
	else if (field_is(name, n, "expected"))
		add_expected(out, v);
	else if (field_is(name, n, "held_back"))
		add_escaped(out, v->held_back == NULL ? "" : v->held_back,
			    v->held_back == NULL ? 0 : strlen(v->held_back));
	else if (field_is(name, n, "retry_s"))
		strbuf_addf(out, "%u", v->retry_s);
	else
		return false;
	return true;
}

void
waitpage_render(struct strbuf *out, const char *template, const struct waitpage_view *v)
{
	const char *at = template, *open;

	while ((open = strstr(at, "{{")) != NULL) {
		const char *close = strstr(open, "}}");

		if (close == NULL)
			break;
		strbuf_add(out, at, (size_t)(open - at));
		if (!add_value(out, open + 2, (size_t)(close - open - 2), v)) {
			strbuf_add(out, open, 2);
			at = open + 2;
			continue;
		}
		at = close + 2;
	}
	strbuf_adds(out, at);
}
