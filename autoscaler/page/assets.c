#include "autoscaler/page/assets.h"

#include <stdio.h>
#include <string.h>

#include "common/admin.h"
#include "common/strbuf.h"

#define POLICY                                                                                     \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "                \
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "        \
	"require-trusted-types-for 'script'; trusted-types 'none'"

#define ASSETS(X)                                                                                  \
	X(page_html, "/ui", "text/html; charset=utf-8")                                            \
	X(page_css, "/ui/page.css", "text/css; charset=utf-8")                                     \
	X(base_js, "/ui/base.js", "text/javascript; charset=utf-8")                                \
	X(revisions_js, "/ui/revisions.js", "text/javascript; charset=utf-8")                      \
	X(lists_js, "/ui/lists.js", "text/javascript; charset=utf-8")                              \
	X(page_js, "/ui/page.js", "text/javascript; charset=utf-8")                                \
	X(icon_svg, "/ui/icon.svg", "image/svg+xml")

#define X(name, path, type) extern const char asset_##name[], asset_##name##_end[];
ASSETS(X)
#undef X

static const struct asset {
	const char *path, *type, *begin, *end;
} assets[] = {
#define X(name, path, type) {path, type, asset_##name, asset_##name##_end},
	ASSETS(X)
#undef X
};

const char *const assets_paths[] = {
#define X(name, path, type) path,
	ASSETS(X)
#undef X
		NULL};

static const struct asset *
find(const char *path)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(assets); i++)
		if (strcmp(assets[i].path, path) == 0)
			return &assets[i];
	return NULL;
}

/* FNV-1a: it tells one version of a file from the next, and needs no more. */
static void
format_etag(const struct asset *a, char text[24])
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	const char *at;

	for (at = a->begin; at < a->end; at++)
		hash = (hash ^ (unsigned char)*at) * UINT64_C(0x100000001b3);
	snprintf(text, 24, "\"%016llx\"", (unsigned long long)hash);
}

/* If-None-Match is a list of tags, or "*". */
static bool
has_it(struct admin_request *req, const char *etag)
{
	const char *tags = req->field(req, "If-None-Match");

	return tags != NULL && (strcmp(tags, "*") == 0 || strstr(tags, etag) != NULL);
}

void
assets_answer(struct admin_request *req)
{
	const struct asset *a = find(req->path);
	char etag[24];

	CHECK(a != NULL);
	format_etag(a, etag);
	req->cache_control = "no-cache"; /* to be kept, and asked for by its tag */
	req->add_field(req, "ETag", etag);
	req->add_field(req, "Content-Security-Policy", POLICY);
	req->add_field(req, "Referrer-Policy", "no-referrer");
	req->add_field(req, "Cross-Origin-Opener-Policy", "same-origin");
	req->add_field(req, "Cross-Origin-Resource-Policy", "same-origin");
	if (has_it(req, etag)) {
		req->status = 304;
		return;
	}
	req->content_type = a->type;
	strbuf_add(req->body, a->begin, (size_t)(a->end - a->begin));
}
